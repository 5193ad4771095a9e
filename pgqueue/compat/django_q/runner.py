"""What a worker calls for each task of django-q, and for what the facade needs done beside them."""

import os
import threading
from collections.abc import Callable, Mapping
from multiprocessing import current_process
from typing import Any, Final

from django.db import connections
from django.utils import timezone

from pgqueue.compat import pickles
from pgqueue.compat.django_q import hooks, iterations, packages, running, saving, scheduler
from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.conf import Conf, logger
from pgqueue.compat.django_q.enqueueing import go_on
from pgqueue.compat.django_q.signals import post_spawn
from pgqueue.compat.django_q.signing import BadSignature
from pgqueue.compat.serving import serve
from pgqueue.core import codec
from pgqueue.core.errors import ConfigurationError, DecodeError, NotSerializableError
from pgqueue.core.options import MAX_ATTEMPTS
from pgqueue.core.outcome import Cancel, TaskControl
from pgqueue.django import conf

#: Results up to here are kept with the job as well.
_MOST_RESULT: Final = 512 * 1024
#: Seconds that a task with a timeout has at least to be saved, and for its hook.
_SAVING: Final = 60

_LAST_ERROR: Final = (
    "SELECT e.message FROM pgqueue.job_errors AS e WHERE e.job_id = %s"
    " ORDER BY e.at DESC, e.attempt DESC LIMIT 1"
)

#: The processes that have told of themselves, of which this one is the last.
_spawned: list[int] = []
#: Of each thread: the queue of the task that it runs, or ran last.
_now = threading.local()


class _SpentError(Exception):
    """Say that a task has failed as often as it may."""


def install() -> None:
    """Let workers run tasks of django-q, and hooks be called."""
    pickles.register()
    hooks.connect()
    serve(
        packages.PREFIX,
        run,
        max_attempts=MAX_ATTEMPTS,
        backoff=_pause,
        give_up_on=(DecodeError, NotSerializableError, _SpentError),
    )


def run(context: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Run one job of the facade; gives what its function has returned, packed.

    Raises:
        Exception: what the function has raised.
    """
    _now.queue = context.queue
    other = _OTHERS.get(context.task)
    if other is not None:
        return other(context, *args, **kwargs)
    if os.getpid() not in _spawned:
        _spawned[:] = [os.getpid()]
        post_spawn.send_robust(sender=running.SENDER, proc_name=current_process().name)
    broker = get_broker(context.queue)
    try:
        task = packages.task_of(context.task, context.job_id, args, kwargs, context.meta)
    except DecodeError as error:
        logger.error("the arguments of job %s cannot be read: %s", context.job_id, error)
        _failed(_bare(context.job_id, context.task, context.meta), broker, str(error))
        raise
    if context.attempt - context.lost > 1:
        _notice(context, task, broker)
    return _work(context, task, broker, context.timeout)


def _notice(context: Any, task: dict[str, Any], broker: Broker) -> None:
    """Keep the failure of the attempt before, if its process could not: it was killed for taking
    too long."""
    if task.get("iter_count") is not None or saving.is_kept(task, broker):
        return
    found = _last_error(context.job_id)
    if found:
        _failed(dict(task), broker, found)


def _last_error(job_id: int) -> str:
    with connections[conf.database()].cursor() as cursor:
        cursor.execute(_LAST_ERROR, [job_id])
        found = cursor.fetchone()
    return str(found[0]) if found else ""


def _work(context: Any, task: dict[str, Any], broker: Broker, timeout: float | None) -> Any:
    """Run a task, keep what came out, and go on with its chain.

    Args:
        timeout: that it is held to, in seconds.

    Raises:
        Exception: what its function has raised.
    """
    task["cluster"] = context.queue
    task["ack_id"] = context.job_id
    error = running.execute(task, timeout)
    # The limit was for the function; what came out of it is not to be lost by it.
    context.extend_timeout(_SAVING)
    if error is None:
        try:
            packed = pickles.pack(task["result"], task=context.task, queue=packages.PREFIX)
        except NotSerializableError as refused:
            # Its effects are there; to run it again would have them twice.
            task["success"], task["result"], error = False, str(refused), refused
    _keep(task, broker)
    if error is not None:
        raise error
    if task.get("iter_count") is None and len(codec.dumps(packed, max_bytes=2**40)) > _MOST_RESULT:
        return None
    return packed


def _keep(task: dict[str, Any], broker: Broker) -> None:
    """Keep what came out of a task, go on with its chain, and tell of it.

    What fails of that is logged: to run the task again for it would have its effects twice.
    """
    try:
        if task.get("iter_count") is None:
            saving.save(task, broker)
    except Exception:
        logger.exception("Could not save task result of %s", task["name"])
    try:
        go_on(task, broker)
    except Exception:
        logger.exception("Could not go on with the chain of %s", task["name"])
    running.tell(task)


def _package(context: Any, text: str) -> Any:
    """Run a package as the old broker took them in: a signed one, or a copy of a row of OrmQ.

    Its job cannot know how often the task inside may be tried, and how long it may take; so that is
    seen to here.

    Raises:
        Cancel: it was not signed here.
        _SpentError: it has failed, and is not tried again.
        Exception: what its function has raised.
    """
    try:
        task = packages.read(text)
    except (BadSignature, DecodeError) as error:
        logger.error("package %s is not opened: %s", context.job_id, error)
        raise Cancel("the package was not signed with the SECRET_KEY of this project") from None
    broker = get_broker(context.queue)
    most = packages.attempts(task, Conf.at(context.queue))
    number = context.attempt - context.lost
    if number > 1:
        _notice(context, task, broker)
    if number > most:
        # Its process was killed, and could not say that it was the last time.
        raise _SpentError(_last_error(context.job_id))
    try:
        timeout = packages.limit(task, Conf.at(context.queue))
    except ConfigurationError as error:
        _failed(task, broker, str(error))
        raise Cancel(str(error)) from None
    if timeout is not None:
        context.shorten_timeout(timeout)
    try:
        return _work(context, task, broker, timeout)
    except TaskControl:
        raise
    except (Exception, SystemExit) as error:
        if number < most:
            raise
        raise _SpentError(f"{type(error).__name__}: {error}") from error


def _ended(context: Any, told: Mapping[str, Any]) -> None:
    """Keep the failure of a task whose process could not: it was killed, or its job was never run.

    Its chain goes on as after any failure.
    """
    broker = get_broker(context.queue)
    job_id, name = int(told["id"]), str(told["task"])
    with connections[conf.database()].cursor() as cursor:
        cursor.execute(
            "SELECT args::text, kwargs::text, meta::text, created_at FROM pgqueue.jobs"
            " WHERE id = %s",
            [job_id],
        )
        found = cursor.fetchone()
    if found is None:
        return
    read: list[Any] = [codec.loads(text or "{}") for text in found[:3]]
    args, kwargs, meta = read
    try:
        if name == packages.PACKAGE:
            task = packages.read(args[0])
        else:
            task = packages.task_of(name, job_id, args, kwargs, meta, found[3])
    except Exception:
        task = _bare(job_id, name, meta)
    if task.get("iter_count") is not None or saving.is_kept(task, broker):
        return
    _failed(task, broker, str(told["error"] or "it was ended"))


def _failed(task: dict[str, Any], broker: Broker, why: str) -> None:
    task.update(result=why, success=False, stopped=timezone.now(), cluster=broker.list_key)
    _keep(task, broker)


def _bare(job_id: int, name: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a task of which only the name can be read."""
    told = meta.get(packages.PREFIX)
    known = {
        key: value
        for key, value in (told.items() if isinstance(told, dict) else ())
        if key in ("id", "name", "group", "hook") and isinstance(value, str)
    }
    return packages.task_of(name, job_id, (), {}, {packages.PREFIX: known})


def _pause(attempt: int) -> float:
    """Tell after how many seconds a task that has failed is delivered again."""
    return float(Conf.at(getattr(_now, "queue", None)).RETRY or 60)


_OTHERS: Final[dict[str, Callable[..., Any]]] = {
    packages.PACKAGE: _package,
    packages.ENDED: _ended,
    packages.COLLATE: iterations.collate,
    packages.SCHEDULE: scheduler.tick,
}
