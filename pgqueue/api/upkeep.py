"""Tasks that every worker knows, for schedules that keep house."""

from typing import Final

from pgqueue.api.app import PgQueue
from pgqueue.core.offsets import Duration

# Of the worker's own database: that is the one its environment names.
_queue: Final = PgQueue()


@_queue.task(name="pgqueue.remove_old_jobs")
def remove_old_jobs(older_than: Duration = "30d") -> int:
    """Delete finished jobs that ended so long ago, whatever their retention; gives how many."""
    return _queue.prune(older_than=older_than)
