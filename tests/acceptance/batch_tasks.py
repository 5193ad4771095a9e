"""Batch tasks: they tell how many jobs a call had, and give each its own end."""

from typing import Any

from pgqueue import BatchJob, Cancel, Retry, Snooze, task
from tests.acceptance.tasks import note


@task(batch=100, batch_wait="2s")
def sizes(jobs: list[BatchJob]) -> list[int]:
    """Give each job the number of jobs of its call."""
    return [len(jobs)] * len(jobs)


@task(batch=10, batch_wait=0)
def each(jobs: list[BatchJob]) -> list[object]:
    """End each as its argument says."""
    return [_end(*job.args, **job.kwargs) for job in jobs]


@task(batch=10, batch_wait=0)
async def aeach(jobs: list[BatchJob]) -> list[object]:
    return [_end(*job.args) for job in jobs]


@task(batch=10, batch_wait=0, max_attempts=2, backoff=0)
def all_fail(jobs: list[BatchJob]) -> None:
    raise ValueError(f"all {len(jobs)}")


@task(batch=10, batch_wait=0)
def wrong(jobs: list[BatchJob]) -> list[int]:
    return [1]


@task(batch=50, batch_wait="1s")
def kill_or_note(jobs: list[BatchJob]) -> None:
    import os
    import signal

    for job in jobs:
        if job.args[0] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    for job in jobs:
        note(str(job.args[0]))


def _end(how: str = "ok", value: Any = None) -> object:
    match how:
        case "fail":
            return ValueError("no")
        case "retry":
            return Retry(in_=60)
        case "snooze":
            return Snooze(60)
        case "cancel":
            return Cancel("not needed")
        case "object":
            return object()
    return value
