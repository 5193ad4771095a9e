"""What one gets for an enqueued job: its id, and what can be asked and done with that."""

from dataclasses import dataclass, field

from pgqueue.api.clients import Clients
from pgqueue.api.waiting import await_, wait
from pgqueue.core.errors import JobFailedError, JobNotFoundError
from pgqueue.core.job import FailedAttempt, Job, LogLine
from pgqueue.core.offsets import Duration, When
from pgqueue.core.options import EnqueueOptions, check_priority, check_queue
from pgqueue.core.states import JobState
from pgqueue.db.statements.results import End, ends


@dataclass(frozen=True, slots=True)
class JobHandle:
    """Stand for one job; holds no connection and nothing that grows old.

    Every call goes over the connection of the app: pgqueue's own, so that a job enqueued in a
    transaction of the caller's is found once that has committed; in Django, Django's.

    Attributes:
        id: the job's id.
        task: the name of its task.
        duplicate: whether nothing was enqueued, since the job was there already: it has the same
            unique key.
    """

    id: int
    task: str = field(compare=False)
    _clients: Clients = field(repr=False, compare=False)
    duplicate: bool = field(default=False, compare=False, repr=False)

    def state(self) -> JobState:
        """Read where the job stands.

        Raises:
            JobNotFoundError: there is no such job, or not yet.
        """
        return self._clients.sync.get_state(self.id)

    async def astate(self) -> JobState:
        """Read where the job stands; see `state`."""
        return await self._clients.asynchronous.get_state(self.id)

    def info(self) -> Job:
        """Read the whole job.

        Raises:
            JobNotFoundError: there is no such job, or not yet.
        """
        return found(self._clients.sync.get_job(self.id), self.id)

    async def ainfo(self) -> Job:
        """Read the whole job; see `info`."""
        return found(await self._clients.asynchronous.get_job(self.id), self.id)

    def result(self, timeout: Duration | None = None) -> object:
        """Wait until the job is over, without polling, and give what its task returned.

        Args:
            timeout: how long to wait at most; None for ever.

        Raises:
            JobFailedError: it failed, was cancelled or expired.
            ResultTimeoutError: it was not over in time; it goes on all the same.
            JobNotFoundError: it cannot be seen, so that waiting would be in vain: the transaction
                that enqueued it has not committed, or the job was deleted.
        """

        def look() -> End | None:
            return _over(self._clients.sync.run(ends([self.id]))[0])

        return result_of(wait(self._clients, [self.id], look, timeout, f"job {self.id}"))

    async def aresult(self, timeout: Duration | None = None) -> object:
        """Wait until the job is over, and give what its task returned; see `result`."""

        async def look() -> End | None:
            return _over((await self._clients.asynchronous.run(ends([self.id])))[0])

        return result_of(await await_(self._clients, [self.id], look, timeout, f"job {self.id}"))

    def errors(self) -> list[FailedAttempt]:
        """Read the attempts that went wrong, the first one first."""
        return self._clients.sync.job_errors(self.id)

    async def aerrors(self) -> list[FailedAttempt]:
        """Read the attempts that went wrong; see `errors`."""
        return await self._clients.asynchronous.job_errors(self.id)

    def logs(self) -> list[LogLine]:
        """Read what the job has logged with `Context.log`, the first line first."""
        return self._clients.sync.job_logs(self.id)

    async def alogs(self) -> list[LogLine]:
        """Read what the job has logged; see `logs`."""
        return await self._clients.asynchronous.job_logs(self.id)

    def cancel(self, reason: str | None = None) -> JobState:
        """Cancel the job where it waits; ask its worker to where it runs.

        Args:
            reason: a sentence, shown with the job.

        Returns:
            `cancelled`; `running` where the worker was asked; or the state the job ended in before.

        Raises:
            JobNotFoundError: there is no such job, or not yet.
        """
        return self._clients.sync.cancel(self.id, reason)

    async def acancel(self, reason: str | None = None) -> JobState:
        """Cancel the job; see `cancel`."""
        return await self._clients.asynchronous.cancel(self.id, reason)

    def retry(self, run_at: When | None = None) -> JobState:
        """Let the job run again, with all its attempts; one that is scheduled, now.

        Args:
            run_at: when, in any form of time; None for at once.

        Returns:
            `ready` or `scheduled`.

        Raises:
            JobNotFoundError: there is no such job, or not yet.
            JobStateError: it is running or blocked.
        """
        return self._clients.sync.retry(self.id, EnqueueOptions.from_kwargs(run_at=run_at))

    async def aretry(self, run_at: When | None = None) -> JobState:
        """Let the job run again; see `retry`."""
        options = EnqueueOptions.from_kwargs(run_at=run_at)
        return await self._clients.asynchronous.retry(self.id, options)

    def delete(self) -> bool:
        """Delete the job and all that is known of it; gives whether there was one.

        Raises:
            JobStateError: it is running.
        """
        return self._clients.sync.delete_job(self.id)

    async def adelete(self) -> bool:
        """Delete the job; see `delete`."""
        return await self._clients.asynchronous.delete_job(self.id)

    def set_priority(self, priority: int) -> JobState:
        """Let the job, while it waits, go before or behind others; gives its state.

        Raises:
            JobNotFoundError: there is no such job, or not yet.
            ConfigurationError: the priority is out of range.
        """
        return self._clients.sync.set_priority(self.id, check_priority(priority))

    async def aset_priority(self, priority: int) -> JobState:
        """Let the job go before or behind others; see `set_priority`."""
        return await self._clients.asynchronous.set_priority(self.id, check_priority(priority))

    def set_queue(self, queue: str) -> JobState:
        """Let the job wait in another queue, or be retried there once it is over; gives its state.

        A running job is left as it is.

        Raises:
            JobNotFoundError: there is no such job, or not yet.
            ConfigurationError: the queue is not named so.
        """
        return self._clients.sync.set_queue(self.id, check_queue(queue))

    async def aset_queue(self, queue: str) -> JobState:
        """Let the job wait in another queue; see `set_queue`."""
        return await self._clients.asynchronous.set_queue(self.id, check_queue(queue))


def found(job: Job | None, job_id: int) -> Job:
    """Give the job that was read, or say that there is none."""
    if job is None:
        raise JobNotFoundError(
            f"there is no job {job_id}; it was never committed, or deleted since", job_id
        )
    return job


def _over(end: End) -> End | None:
    """Give the end of a job if there is one yet.

    Raises:
        JobNotFoundError: the job cannot be seen.
    """
    if not end.exists:
        raise JobNotFoundError(
            f"job {end.job_id} cannot be seen, so there is no use in waiting for it: the "
            "transaction that enqueued it has not committed (commit first, then wait), or was "
            "rolled back; or the job was deleted since",
            end.job_id,
        )
    return None if end.state is None else end


def result_of(end: End) -> object:
    """Give what the task of a job that is over returned.

    Raises:
        JobFailedError: it did not succeed.
    """
    if end.state is JobState.SUCCEEDED:
        return end.result
    why = end.error or "nobody said why"
    raise JobFailedError(
        f"job {end.job_id} ({end.task}) has no result, it {end.state}: {why}"
        if end.state is not JobState.CANCELLED
        else f"job {end.job_id} ({end.task}) has no result, it was {why}",
        end.job_id,
        state=str(end.state),
        kind=end.kind,
        error=end.message,
        traceback=end.traceback,
        attempt=end.attempt,
    )
