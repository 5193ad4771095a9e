"""Queues, as applications pause, resume and configure them."""

import builtins
from collections.abc import Callable

from pgqueue.api.clients import Clients
from pgqueue.core.errors import ConfigurationError
from pgqueue.core.job import QueueInfo
from pgqueue.core.offsets import Duration, to_seconds
from pgqueue.core.options import check_queue


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
    ) -> None:
        """Say how long finished jobs of a queue are kept, those that end from now on.

        Args:
            queue: its name.
            retention: for all of them; not with the other two.
            retention_succeeded: for succeeded ones, zero deletes them at once; None for 7 days.
            retention_other: for failed, cancelled and expired ones; None for 30 days.

        Raises:
            ConfigurationError: the name or a duration is wrong.
        """
        succeeded, other = _retention(retention, retention_succeeded, retention_other)
        self._clients().sync.configure_queue(check_queue(queue), succeeded, other)

    async def aconfigure(
        self,
        queue: str,
        *,
        retention: Duration | None = None,
        retention_succeeded: Duration | None = None,
        retention_other: Duration | None = None,
    ) -> None:
        """Say how long finished jobs of a queue are kept; see `configure`."""
        succeeded, other = _retention(retention, retention_succeeded, retention_other)
        await self._clients().asynchronous.configure_queue(check_queue(queue), succeeded, other)

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
