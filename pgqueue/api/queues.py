"""Queues, as applications pause, resume and configure them."""

import builtins
from collections.abc import Callable
from typing import Any

from pgqueue.api.clients import Clients
from pgqueue.core.errors import ConfigurationError
from pgqueue.core.job import QueueInfo
from pgqueue.core.limits import KEEP, Kept, check_count, check_rate
from pgqueue.core.offsets import Duration, to_seconds
from pgqueue.core.options import check_queue
from pgqueue.core.uniqueness import check_key


class Queues:
    """Pause, resume, configure and list the queues of one app.

    A queue comes to be by being named; there is none to create.
    """

    __slots__ = ("_clients",)

    def __init__(self, clients: Callable[[], Clients]) -> None:
        self._clients = clients

    def pause(self, queue: str, resume_in: Duration | None = None) -> None:
        """Start no job of a queue until it is resumed; what runs goes on.

        Args:
            queue: its name.
            resume_in: when it resumes by itself, a duration; None for never.

        Raises:
            ConfigurationError: the name or the duration is wrong.
        """
        self._clients().sync.pause(check_queue(queue), _pause_length(resume_in))

    async def apause(self, queue: str, resume_in: Duration | None = None) -> None:
        """Start no job of a queue until it is resumed; see `pause`."""
        seconds = _pause_length(resume_in)
        await self._clients().asynchronous.pause(check_queue(queue), seconds)

    def resume(self, queue: str) -> bool:
        """Start jobs of a queue again; gives whether it was paused."""
        return self._clients().sync.resume(check_queue(queue))

    async def aresume(self, queue: str) -> bool:
        """Start jobs of a queue again; see `resume`."""
        return await self._clients().asynchronous.resume(check_queue(queue))

    def configure(
        self,
        queue: str,
        *,
        retention: Duration | None = None,
        retention_succeeded: Duration | None = None,
        retention_other: Duration | None = None,
        max_running: int | Kept | None = KEEP,
        rate: str | Kept | None = KEEP,
        max_pending: int | Kept | None = KEEP,
    ) -> None:
        """Limit a queue, or say how long its finished jobs are kept, from now on.

        Limits that are not named stay as they are. Where a retention is given, or nothing, the one
        left out goes back to its default.

        Args:
            queue: its name.
            retention: of all finished jobs; not with the other two.
            retention_succeeded: of succeeded ones, zero deletes them at once; None for 7 days.
            retention_other: of failed, cancelled and expired ones; None for 30 days.
            max_running: how many of its jobs may run at once, of all workers together; None for no
                limit.
            rate: how many may start in a time, as `"100/m"`, `"5/s"` or `"1000/2h"`: never more in
                any stretch of that length; None for no limit.
            max_pending: how many may wait before an enqueue raises `QueueFullError`; None for no
                limit.

        Raises:
            ConfigurationError: the name, a duration or a limit is wrong.
        """
        limits = _limits(max_running, rate, max_pending)
        kept = _retention(retention, retention_succeeded, retention_other)
        if limits:
            self._clients().sync.limit_queue(check_queue(queue), limits)
        if kept != (None, None) or not limits:
            self._clients().sync.configure_queue(check_queue(queue), *kept)

    async def aconfigure(
        self,
        queue: str,
        *,
        retention: Duration | None = None,
        retention_succeeded: Duration | None = None,
        retention_other: Duration | None = None,
        max_running: int | Kept | None = KEEP,
        rate: str | Kept | None = KEEP,
        max_pending: int | Kept | None = KEEP,
    ) -> None:
        """Limit a queue, or say how long its finished jobs are kept; see `configure`."""
        limits = _limits(max_running, rate, max_pending)
        kept = _retention(retention, retention_succeeded, retention_other)
        if limits:
            await self._clients().asynchronous.limit_queue(check_queue(queue), limits)
        if kept != (None, None) or not limits:
            await self._clients().asynchronous.configure_queue(check_queue(queue), *kept)

    def limit_key(self, key: str, max_running: int | None, rate: str | None = None) -> None:
        """Say how many jobs of a concurrency key may run at once, or start in a time, from now on.

        Both are set by each call.

        Args:
            key: the concurrency key.
            max_running: how many; 0 holds it; None for what the jobs say.
            rate: how many may start in a time, as `"100/m"`; None for what the jobs say.

        Raises:
            ConfigurationError: an argument is wrong.
        """
        self._clients().sync.limit_key(check_key(key, "key"), *_key_limit(max_running, rate))

    async def alimit_key(self, key: str, max_running: int | None, rate: str | None = None) -> None:
        """Limit a concurrency key; see `limit_key`."""
        limits = _key_limit(max_running, rate)
        await self._clients().asynchronous.limit_key(check_key(key, "key"), *limits)

    def list(self) -> list[QueueInfo]:
        """Read every queue that has jobs waiting or running, or settings, by name."""
        return self._clients().sync.list_queues()

    async def alist(self) -> builtins.list[QueueInfo]:
        """Read the queues; see `list`."""
        return await self._clients().asynchronous.list_queues()


def _pause_length(resume_in: Duration | None) -> float | None:
    if resume_in is None:
        return None
    seconds = to_seconds(resume_in, "resume_in")
    if not seconds:
        raise ConfigurationError("resume_in must be longer than nothing; leave it out for no end")
    return seconds


def _retention(
    both: Duration | None, succeeded: Duration | None, other: Duration | None
) -> tuple[float | None, float | None]:
    if both is None:
        return (
            None if succeeded is None else to_seconds(succeeded, "retention_succeeded"),
            None if other is None else to_seconds(other, "retention_other"),
        )
    if succeeded is not None or other is not None:
        raise ConfigurationError(
            "retention sets both retention_succeeded and retention_other; leave those out"
        )
    seconds = to_seconds(both, "retention")
    return seconds, seconds


def check_configuration(**options: Any) -> None:
    """Check what `Queues.configure` takes beside the name, without a database.

    Raises:
        ConfigurationError: a duration or a limit is wrong.
    """
    names = ("max_running", "rate", "max_pending")
    _limits(*(options.pop(name, KEEP) for name in names))
    kept = ("retention", "retention_succeeded", "retention_other")
    _retention(*(options.get(name) for name in kept))


def _limits(
    max_running: int | Kept | None, rate: str | Kept | None, max_pending: int | Kept | None
) -> dict[str, int | str | None]:
    found: dict[str, int | str | None] = {}
    if max_running is not KEEP:
        found["max_running"] = (
            None if max_running is None else check_count(max_running, "max_running")
        )
    if rate is not KEEP:
        found["rate"] = None if rate is None else check_rate(rate)
    if max_pending is not KEEP:
        found["max_pending"] = (
            None if max_pending is None else check_count(max_pending, "max_pending")
        )
    return found


def _key_limit(max_running: int | None, rate: str | None) -> tuple[int | None, str | None]:
    return (
        None if max_running is None else check_count(max_running, "max_running"),
        None if rate is None else check_rate(rate),
    )
