"""Groups: jobs that belong together, their progress and their results."""

import contextlib
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Never, Self, TypedDict

from pgqueue.api.adding import checked
from pgqueue.api.clients import Clients
from pgqueue.api.handles import JobHandle, result_of
from pgqueue.api.waiting import await_, wait
from pgqueue.core import codec
from pgqueue.core.composition import callback
from pgqueue.core.errors import ConfigurationError, JobNotFoundError, shown, suggest
from pgqueue.core.group import Progress
from pgqueue.core.offsets import Duration
from pgqueue.db.statements import groups
from pgqueue.db.statements.adding import JobSpec, object_of
from pgqueue.db.statements.base import Statement
from pgqueue.db.statements.results import End


class GroupWords(TypedDict, total=False):
    """What is said of a group that is made."""

    on_success: object
    on_failure: object
    on_finish: object
    meta: dict[str, Any] | None


_WORDS: Final = tuple(GroupWords.__annotations__)


class GroupHandle:
    """Stand for a group of jobs.

    As a context manager it is open inside the `with`: jobs may be added all the while, by
    `task.using(group=g)`; at its end it is closed, and ends when all its jobs have. Where the block
    raises, the group is cancelled, unless it is written over a connection of the caller's, whose
    transaction decides.

    Attributes:
        id: the group's id.
        job_ids: of a flow and of `map()` the jobs, in the order in which they were given.
    """

    def __init__(
        self,
        group_id: int,
        clients: Clients,
        connection: object = None,
        job_ids: tuple[int, ...] = (),
    ) -> None:
        self.id = group_id
        self.job_ids = job_ids
        self._clients = clients
        self._connection = connection

    def __repr__(self) -> str:
        return f"<pgqueue group {self.id}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif self._connection is None:
            with contextlib.suppress(Exception):
                self.cancel("the block that filled the group raised")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.aclose()
        elif self._connection is None:
            with contextlib.suppress(Exception):
                await self.acancel("the block that filled the group raised")

    def close(self) -> str:
        """Let the group end when all its jobs have; gives `closed`, or how it has ended.

        Until it has ended, more jobs may be added, as by its own.

        Raises:
            JobNotFoundError: there is no such group, or not yet.
        """
        return self._clients.sync.run(groups.close_group(self.id), self._connection)

    async def aclose(self) -> str:
        """Let the group end when all its jobs have; see `close`."""
        return await self._clients.asynchronous.run(groups.close_group(self.id), self._connection)

    def add_last(self, job: JobSpec) -> JobHandle:
        """Enqueue the job that waits for all other members, whatever becomes of them.

        It is started once the group is closed and all others are over, and the group ends with it.
        Another one takes the place of the one before.

        Args:
            job: what `task.job(…)` made.

        Raises:
            BadArgumentsError: it is no job, or its task cannot be called so.
            RefusedJobError: the group has ended, or the server refused the job.
        """
        made = self._clients.sync.run(self._last(job), self._connection)
        return JobHandle(made, job.task, self._clients)

    async def aadd_last(self, job: JobSpec) -> JobHandle:
        """Enqueue the job that waits for all other members; see `add_last`."""
        made = await self._clients.asynchronous.run(self._last(job), self._connection)
        return JobHandle(made, job.task, self._clients)

    def _last(self, job: JobSpec) -> Statement[int]:
        [job] = checked([job])
        member = replace(job, options=job.options.updated(group=self.id))
        return groups.add_last(self.id, object_of(member))

    def progress(self) -> Progress:
        """Read how far the group is.

        Raises:
            JobNotFoundError: there is no such group, or not yet.
        """
        return self._clients.sync.run(groups.progress(self.id))

    async def aprogress(self) -> Progress:
        """Read how far the group is; see `progress`."""
        return await self._clients.asynchronous.run(groups.progress(self.id))

    def wait(self, timeout: Duration | None = None) -> Progress:
        """Wait until the group has ended, without polling.

        Args:
            timeout: how long at most; None for ever.

        Raises:
            ResultTimeoutError: it had not ended in time.
            JobNotFoundError: there is no such group, or not yet.
        """

        def look() -> Progress | None:
            found = self.progress()
            return found if found.is_over else None

        return wait(self._clients, [-self.id], look, timeout, f"group {self.id}")

    async def await_(self, timeout: Duration | None = None) -> Progress:
        """Wait until the group has ended; see `wait`."""

        async def look() -> Progress | None:
            found = await self.aprogress()
            return found if found.is_over else None

        return await await_(self._clients, [-self.id], look, timeout, f"group {self.id}")

    def results(
        self, timeout: Duration | None = None, *, return_errors: bool = False
    ) -> list[object]:
        """Wait until the group has ended, and give the results of its jobs, in their order.

        Args:
            timeout: how long to wait at most; None for ever.
            return_errors: give the error in the place of a job that has no result, instead of
                raising the first of them.

        Raises:
            JobFailedError: a job did not succeed.
            JobNotFoundError: a job of a flow or of `map()` is not kept any more; or there is no
                such group, or not yet.
            ResultTimeoutError: the group had not ended in time.
        """
        self.wait(timeout)
        found = self._clients.sync.run(groups.group_ends(self.id))
        return self._results(found, return_errors)

    async def aresults(
        self, timeout: Duration | None = None, *, return_errors: bool = False
    ) -> list[object]:
        """Wait until the group has ended, and give the results of its jobs; see `results`."""
        await self.await_(timeout)
        found = await self._clients.asynchronous.run(groups.group_ends(self.id))
        return self._results(found, return_errors)

    def cancel(self, reason: str | None = None) -> int:
        """Cancel all its jobs that are not over, and close it; gives how many.

        Args:
            reason: a sentence, shown with each.
        """
        return self._clients.sync.run(groups.cancel_group(self.id, reason), self._connection)

    async def acancel(self, reason: str | None = None) -> int:
        """Cancel all its jobs that are not over; see `cancel`."""
        statement = groups.cancel_group(self.id, reason)
        return await self._clients.asynchronous.run(statement, self._connection)

    def retry(self) -> int:
        """Run its jobs again that did not succeed, and what did not run for it; gives how many.

        Those that succeeded are not run again: a flow goes on from where it failed.
        """
        return self._clients.sync.run(groups.retry_group(self.id))

    async def aretry(self) -> int:
        """Run its jobs again that did not succeed; see `retry`."""
        return await self._clients.asynchronous.run(groups.retry_group(self.id))

    def delete(self) -> int:
        """Delete the group with all its jobs; gives how many those were.

        Raises:
            JobStateError: one of them is running.
        """
        return self._clients.sync.run(groups.delete_group(self.id))

    async def adelete(self) -> int:
        """Delete the group with all its jobs; see `delete`."""
        return await self._clients.asynchronous.run(groups.delete_group(self.id))

    def _results(self, found: list[End], return_errors: bool) -> list[object]:
        if self.job_ids:
            by_id = {end.job_id: end for end in found}
            found = [by_id.get(job, End(job_id=job, exists=False)) for job in self.job_ids]
        results: list[object] = []
        for end in found:
            try:
                results.append(result_of(end) if end.exists else _gone(end.job_id))
            except Exception as error:
                if not return_errors:
                    raise
                results.append(error)
        return results


def _gone(job_id: int) -> Never:
    raise JobNotFoundError(
        f"the result of job {job_id} is gone: its queue keeps it no longer, or it was deleted",
        job_id,
    )


def creation(name: str | None, parent: object, words: GroupWords) -> Statement[int]:
    """Check what is said of a group, and give the call that makes it."""
    if name is not None and (not isinstance(name, str) or not name):
        raise ConfigurationError(f"name must be a non-empty string; got {shown(name)}")
    return groups.create_group(name, *described(words), _parent(parent))


def described(words: GroupWords) -> tuple[str | None, str | None]:
    """Give callbacks and meta of a group as JSON.

    Raises:
        ConfigurationError: one of them is wrong.
        NotSerializableError: `meta` cannot be stored.
    """
    given = dict(words)
    for word in given:
        if word not in _WORDS:
            raise ConfigurationError(
                f"unknown option {shown(word)} of a group{suggest(word, _WORDS)}; known are "
                f"{', '.join(_WORDS)}"
            )
    meta = given.pop("meta", None)
    if meta is not None and type(meta) is not dict:
        raise ConfigurationError(f"meta must be a dictionary; got {shown(meta)}")
    calls = {name: callback(value, name) for name, value in given.items() if value is not None}
    return (
        codec.dumps(calls, path="$", name="callbacks").decode() if calls else None,
        None if meta is None else codec.dumps(meta, path="$.meta", name="meta").decode(),
    )


def _parent(parent: object) -> int | None:
    found = getattr(parent, "id", parent)
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    raise ConfigurationError(f"parent must be a group or its id; got {shown(parent)}")
