"""The clusters, as programs and people look at them, and keeping what came out of tasks by hand.

Both were called `monitor`, in one library or the other.
"""

from typing import Any

from pgqueue.compat import here
from pgqueue.compat.django_q import monitor_terminal, packages, running
from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.enqueueing import go_on
from pgqueue.compat.django_q.monitor_terminal import get_ids, info, memory
from pgqueue.compat.django_q.saving import save, save_cached, save_task
from pgqueue.compat.django_q.status import Stat, Status
from pgqueue.compat.django_q.worker import KEPT

__all__ = ["Stat", "Status", "get_ids", "info", "memory", "monitor", "save_cached", "save_task"]


def monitor(
    result_queue: Any = None, broker: Broker | None = None, *, run_once: bool = False
) -> list[Stat] | None:
    """Keep what came out of the tasks of a queue, up to the text `STOP`; or show the clusters.

    Args:
        result_queue: with `get`; without it, as `monitor_terminal.monitor`.
        broker: of the tasks; None for that of the cluster.
        run_once: of the other.
    """
    if not hasattr(result_queue, "get"):
        return monitor_terminal.monitor(run_once or bool(result_queue), broker)
    broker = broker or get_broker()
    for task in iter(result_queue.get, "STOP"):
        if task.pop(KEPT, False):
            continue
        save(task, broker)
        go_on(task, broker)
        ack_id = task.get("ack_id")
        if ack_id and (task["success"] or task.get("ack_failure")):
            broker.acknowledge(ack_id)
        running.tell(task)
    # What follows the end of jobs: the results of an iterable together, failures without a result.
    for name in (packages.COLLATE, packages.ENDED):
        here.run([broker.list_key], prefix=name)
    return None
