"""Calling the function of a task, with the signals around it, and noting what came out."""

import inspect
import traceback
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.utils import timezone

from pgqueue.compat import paths
from pgqueue.compat.django_q import conf
from pgqueue.compat.django_q.exceptions import TimeoutException
from pgqueue.compat.django_q.signals import post_execute, post_execute_in_worker, pre_execute
from pgqueue.compat.django_q.utils import get_func_repr
from pgqueue.compat.hanging_up import hang_up
from pgqueue.core.errors import JobTimeout
from pgqueue.core.outcome import TaskControl
from pgqueue.worker.limiting import Limit

SENDER = "django_q"


def execute(task: dict[str, Any], timeout: float | None = None) -> BaseException | None:
    """Call the function of a task and put `result`, `success` and `stopped` into it.

    Args:
        task: as a dictionary, which receivers of the signals may change.
        timeout: that somebody else holds it to, in seconds, for the text of its error.

    Returns:
        What it has raised; None where it has succeeded. A function that cannot be found is an
        error of this kind, too.

    Raises:
        TaskControl: it decides itself what is to become of its job.
    """
    function, fault = _find(task["func"])
    task.pop("timeout", None)
    try:
        pre_execute.send(sender=SENDER, func=function, task=task)
        if fault is not None:
            raise fault
        assert function is not None
        result = function(*task["args"], **task["kwargs"])
        if inspect.iscoroutine(result):
            result = async_to_sync(_awaited)(result)
    except TaskControl:
        raise
    except (Exception, TimeoutException, SystemExit) as error:
        if isinstance(error, JobTimeout):
            hang_up()
        _note(task, _text(error, timeout), success=False)
        reporter = conf.reporter()
        if reporter is not None:
            reporter.report()
        found: BaseException | None = error
    else:
        _note(task, result, success=True)
        found = None
    # Whoever listens must not make what has had its effects run again.
    post_execute_in_worker.send_robust(sender=SENDER, func=function, task=task)
    return found


def execute_within(timeout: float | None, task: dict[str, Any]) -> BaseException | None:
    """Call the function of a task in a process that is no worker's, and hold it to a limit.

    Args:
        timeout: in seconds; None for no limit.
        task: as a dictionary; see `execute`.
    """
    if timeout is None:
        return execute(task)
    return Limit().run(timeout, lambda: execute(task, timeout))


def tell(task: dict[str, Any]) -> None:
    """Tell what came out of a task, which is kept by now."""
    task.pop("ack_id", None)
    post_execute.send_robust(sender=SENDER, task=task)
    name = get_func_repr(task["func"])
    if task["success"]:
        conf.logger.info("Processed '%s' (%s)", name, task["name"])
    else:
        conf.logger.error("Failed '%s' (%s) - %s", name, task["name"], task["result"])


def is_missing(error: BaseException) -> bool:
    """Tell whether an error is that there is no such function."""
    return isinstance(error.__cause__, paths.PathNotFoundError)


def _find(func: Any) -> tuple[Callable[..., Any] | None, Exception | None]:
    """Give the function, or why there is none."""
    if callable(func):
        return func, None
    try:
        return paths.resolve(func), None
    except paths.PathNotFoundError as error:
        missing = ValueError(f"Function {func} is not defined")
        missing.__cause__ = error
        return None, missing
    except Exception as error:
        return None, error


def _note(task: dict[str, Any], result: Any, *, success: bool) -> None:
    task["result"] = result
    task["success"] = success
    task["stopped"] = timezone.now()


def _text(error: BaseException, timeout: float | None) -> str:
    said = str(error)
    if isinstance(error, JobTimeout | TimeoutException):
        seconds = "" if timeout is None else f" ({timeout:g} seconds)"
        said = f"Task exceeded maximum timeout value{seconds}"
    lines = "".join(traceback.format_exception(error))
    # What can be neither written nor looked at is not worth the loss of the rest.
    return f"{said} : {lines}".replace("\0", "\\0").encode(errors="replace").decode()


async def _awaited(coroutine: Any) -> Any:
    return await coroutine
