"""How a worker runs a job of django-async: in one transaction with its finish, and ever again.

A job that fails comes back a minute later, then three, six, nine … without end, each time with a
priority one lower.
"""

from contextvars import ContextVar
from typing import Any, Final

from pgqueue.compat import serving
from pgqueue.compat.django_async import plain, utils
from pgqueue.compat.django_async.logger import _logger
from pgqueue.core.options import MAX_ATTEMPTS

#: The queue of its jobs, and the prefix of the names of their tasks.
QUEUE: Final = "async"
PRIORITY: Final = 5

#: Where `Job.execute` is given what the function returned, before it became JSON.
returned: Final[ContextVar[list[Any] | None]] = ContextVar("pgqueue_async_returned", default=None)


def install() -> None:
    """Serve them."""
    serving.serve(
        QUEUE,
        _run,
        queue=QUEUE,
        priority=PRIORITY,
        priority_step=-1,
        atomic=True,
        max_attempts=MAX_ATTEMPTS,
        backoff=delay,
        retry_on=(Exception, SystemExit),
    )


def delay(errors: int) -> float:
    """Tell after how many seconds a job that has failed so often is tried again."""
    return float(60 * pow(errors, 1.6))


def _run(context: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Run what a job names; its result must be JSON, else it has failed, and nothing was done."""
    path = serving.path_in(context.task)
    _logger.info("%s %s", context.job_id, path)
    result = utils.object_at_end_of_path(path)(*args, **kwargs)
    kept = plain.loads(plain.dumps(result))
    taken = returned.get()
    if taken is not None:
        taken.append(result)
    return kept
