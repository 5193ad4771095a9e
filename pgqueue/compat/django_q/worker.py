"""Running tasks of a queue of this program, as tests of the old library did."""

from multiprocessing import current_process
from typing import Any

from pgqueue.compat.django_q import running
from pgqueue.compat.django_q.signals import post_spawn


def worker(
    task_queue: Any, result_queue: Any, timer: Any = None, timeout: float | None = None
) -> None:
    """Run the tasks of a queue, up to the text `STOP`, and put them into another with their result.

    Args:
        task_queue: with `get`.
        result_queue: with `put`.
        timer: not needed: nothing limits the time that they take here.
        timeout: not needed.

    Raises:
        Exception: what a task with `sync` has raised.
    """
    post_spawn.send(sender=running.SENDER, proc_name=current_process().name)
    for task in iter(task_queue.get, "STOP"):
        error = running.execute(task)
        if error is not None and task.get("sync"):
            raise error
        result_queue.put(task)
