"""Running tasks of a queue of this program, as tests of the old library did."""

from multiprocessing import current_process
from typing import Any, Final

from django.utils import timezone

from pgqueue.compat import here
from pgqueue.compat.django_q import packages, running
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.signals import post_spawn
from pgqueue.core.errors import JobStateError

#: In a task whose result was kept already.
KEPT: Final = "kept"


def worker(
    task_queue: Any, result_queue: Any, timer: Any = None, timeout: float | None = None
) -> None:
    """Run the tasks of a queue, up to the text `STOP`, and put them into another with their result.

    It returns as well when it has run `Conf.RECYCLE` of them.

    One that `pusher` took is a job, and is run as a worker does: what comes out is kept at once.

    Args:
        task_queue: with `get`.
        result_queue: with `put`.
        timer: whose `value` is -2 at the end where it has run enough of them.
        timeout: of tasks that say nothing of it; None for that of the setting.

    Raises:
        Exception: what a task with `sync` has raised.
    """
    post_spawn.send(sender=running.SENDER, proc_name=current_process().name)
    for count, task in enumerate(iter(task_queue.get, "STOP"), 1):
        if not _run_job(task):
            own = {} if timeout is None else {"timeout": timeout}
            limit = packages.limit({**own, **task}, Conf.at(task.get("cluster")))
            error = running.execute_within(limit, task)
            if error is not None and task.get("sync"):
                raise error
        result_queue.put(task)
        if count == Conf.RECYCLE:
            if timer is not None:
                timer.value = -2
            return


def _run_job(task: dict[str, Any]) -> bool:
    """Run the job that a task is; tell whether it is one."""
    job_id = task.get("ack_id")
    if not isinstance(job_id, int):
        return False
    try:
        ran = here.run_one(job_id, task["cluster"])
    except JobStateError:
        return False
    result = str(ran.error) if ran.has_failed else ran.result
    task.update(result=result, success=not ran.has_failed, stopped=timezone.now(), **{KEPT: True})
    return True
