"""Connections that are tried beside each other: what is said of them."""

import asyncio
import logging
from typing import Any

import pytest

from pgqueue.core.errors import ConnectionLostError
from pgqueue.worker import connector
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.connector import Connector
from pgqueue.worker.lease import Lease


def test_a_failure_that_is_heard_of_late_is_no_news(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is there again, and an attempt from before that ends after one that succeeds."""
    now = 1000.0
    attempts: list[asyncio.Future[Any]] = []

    class Opening:
        @staticmethod
        async def open(*_arguments: object, **_options: object) -> Any:
            nonlocal now
            now += 1
            attempts.append(asyncio.get_running_loop().create_future())
            return await attempts[-1]

    async def ask(count: int) -> None:
        async with asyncio.timeout(60):
            while len(attempts) < count:
                await asyncio.sleep(0)

    async def main() -> None:
        nonlocal now
        one = Connector(WorkerConfig(dsn="host=x"), Lease(30, clock=lambda: now))
        first, second = asyncio.ensure_future(one.open()), asyncio.ensure_future(one.open())
        await ask(2)
        attempts[0].set_exception(ConnectionLostError("it is away"))
        await ask(3)
        now += 1
        attempts[2].set_result("a session")
        assert await first == "a session"
        attempts[1].set_exception(ConnectionLostError("it was away"))
        await ask(4)
        assert one.away_since is None
        attempts[3].set_exception(ConnectionLostError("it is away again"))
        await ask(5)
        assert one.away_since is not None
        attempts[4].set_result("another session")
        assert await second == "another session"

    monkeypatch.setattr(connector, "Session", Opening)
    with caplog.at_level(logging.INFO, "pgqueue.worker"):
        asyncio.run(main())
    assert [record.message for record in caplog.records] == [
        "it is away; trying until it works",
        "connected again",
        "it is away again; trying until it works",
        "connected again",
    ]
