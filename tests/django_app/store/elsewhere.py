"""Tasks that are not where a worker looks."""

from pgqueue.django import task


@task
def double(number: int) -> int:
    """Double."""
    return 2 * number
