"""Tasks that are not where a worker looks."""

from pgqueue import BatchJob
from pgqueue import task as task_of_queue
from pgqueue.django import task


@task
def double(number: int) -> int:
    """Double."""
    return 2 * number


@task_of_queue(batch=5)
def sizes(jobs: list[BatchJob]) -> list[int]:
    """Give how many jobs there are in the call, and what each was told."""
    return [len(jobs) * 100 + job.args[0] for job in jobs]
