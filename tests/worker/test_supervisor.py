"""The supervisor by itself, where the command line would not let it come."""

import asyncio
import contextlib
import signal
import subprocess
import sys

import pytest

from pgqueue.core.errors import ConnectionLostError
from pgqueue.worker import supervisor
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.supervisor import Supervisor
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import PATIENCE, ROOT

_NOWHERE = "postgresql://nobody@127.0.0.1:1/none"

_RUN = """
import logging, sys
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.supervisor import run
logging.basicConfig(level="INFO", stream=sys.stdout)
run(WorkerConfig(dsn=sys.argv[1], apps=tuple(sys.argv[2:]), processes=1), "test")
"""

_BREAK = """
import asyncio, logging, sys
from pgqueue.worker import pool, supervisor
from pgqueue.worker.config import WorkerConfig
logging.basicConfig(level="INFO", stream=sys.stdout)
watch = pool.Pool.watch
def broken(self):
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    watch(self)
pool.Pool.watch = broken
supervisor.run(WorkerConfig(dsn=sys.argv[1], processes=1), "test")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_stopped_while_the_database_is_away(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", _RUN, _NOWHERE],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    with process, process.stdout:
        first = process.stdout.readline()
        assert "cannot connect to PostgreSQL" in first
        assert "trying until it works" in first
        process.send_signal(number)
        said = process.stdout.read()
        assert process.wait(PATIENCE) == 0, said
    assert said.count("\n") == 1, "once for the change of state, once for the end"


def test_it_is_stopped_while_it_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may have its name already, so it ends as a worker does that has begun."""

    async def start() -> None:
        pass

    async def join(_fetcher: object) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def main() -> None:
        made = Supervisor(WorkerConfig(dsn=_NOWHERE), "test")
        monkeypatch.setattr(made._pool, "start", start)
        monkeypatch.setattr(made._membership, "join", join)
        made._stop.set()
        assert await made._begin()

    asyncio.run(main())


def test_it_makes_its_parts_without_opening_anything() -> None:
    made = Supervisor(WorkerConfig(dsn=_NOWHERE), "test")
    assert made.stats.jobs == 0


def test_the_pause_between_two_signs_of_life_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_WATCH_EVERY", 0.0)

    async def main() -> None:
        made = Supervisor(WorkerConfig(dsn=_NOWHERE, heartbeat=3, max_outage=1), "test")
        made._fetcher.worker_id = 1
        now = made._lease.clock()
        made._lease.clock = lambda: now
        made._lease.renewed(now)
        watching = asyncio.ensure_future(made._outage())
        now += 3.9
        for _ in range(10):
            await asyncio.sleep(0)
        assert not watching.done()
        now += 0.2
        with pytest.raises(ConnectionLostError, match="told to wait for no more than 1 s"):
            await watching

    asyncio.run(main())


@pytest.mark.parametrize(
    ("failpoint", "said"),
    [
        ("before_beat=raise", "the heartbeat failed, which ends this worker: FailpointError"),
        ("before_child_exec=raise", "the fetcher failed, which ends this worker: FailpointError"),
    ],
)
def test_a_part_that_nobody_expected_to_fail_ends_it(
    failpoint: str, said: str, db: Database, worker: StartWorker
) -> None:
    env = {"PGQUEUE_FAILPOINTS": failpoint}
    db.execute("INSERT INTO pgqueue.jobs (task) VALUES ('a.b')")
    running = worker("--processes", "1", env=env, ready=False)
    assert running.process.wait(PATIENCE) == 1
    assert said in running.log()
    assert db.execute("SELECT * FROM pgqueue.workers") == []
    assert db.execute("SELECT state, attempt FROM pgqueue.job_overview") in (
        [("ready", 0)], [("ready", 1)], [("scheduled", 0)],
    )  # fmt: skip


def test_a_part_that_swallows_its_end_is_cancelled_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stubborn(times: int) -> None:
        while times:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            times -= 1

    async def main() -> None:
        made = Supervisor(WorkerConfig(dsn=_NOWHERE), "test")
        parts = [asyncio.ensure_future(stubborn(times)) for times in (1, 2, 3)]
        await asyncio.sleep(0)
        await made._end(list(parts), dict.fromkeys(parts, "one"))
        assert made.stuck == []
        assert all(part.done() for part in parts)

    asyncio.run(main())


def test_an_error_in_a_callback_ends_it(db: Database) -> None:
    process = subprocess.run(
        [sys.executable, "-u", "-c", _BREAK, db.dsn],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    assert process.returncode == 1
    assert "a callback failed, which ends this worker: ZeroDivisionError" in process.stdout
    assert db.execute("SELECT * FROM pgqueue.workers") == []
