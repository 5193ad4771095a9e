"""Keeping what came out of a task: as a row of `Task`, or in Django's cache.

Called where the task has run, before its job is finished: so whoever is told of the end finds it.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from django.db import connections, transaction
from django.db.models.signals import post_delete, pre_delete

from pgqueue.compat.django_q import fields
from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.models import Success, Task
from pgqueue.compat.django_q.signing import SignedPackage
from pgqueue.compat.django_q.utils import get_func_repr
from pgqueue.core.errors import NotSerializableError
from pgqueue.django import conf

log: Final = logging.getLogger("django-q")

#: By what the number of successes may be limited.
_PER: Final = ("group", "name", "func")
#: Successes that one save drops at most, as after the limit was lowered.
_DROPPED: Final = 100
#: What begins so in the cache was written without a pickle.
_PLAIN: Final = "json:"


def save(task: dict[str, Any], broker: Broker) -> Task | None:
    """Keep what came out of a task, where its options say; gives the row, if there is one now."""
    if task.get("cached"):
        save_cached(task, broker)
        return None
    return save_task(task, broker)


def refuse_unstorable(task: dict[str, Any]) -> None:
    """Make a task a failure that says why, if what its function has returned cannot be stored."""
    try:
        fields.dumps(task["result"])
    except NotSerializableError as refused:
        task["success"], task["result"] = False, str(refused)


def save_task(task: dict[str, Any], broker: Broker | None = None) -> Task | None:
    """Keep what came out of a task as a row, which calls its hook.

    One that has succeeded is not kept with `save=False`, or below a `save_limit` of 0; a row that
    says so already is left as it is.

    Args:
        task: with its `result`, `success` and `stopped`.
        broker: of its queue.

    Returns:
        The row; None where it is not kept.
    """
    limits = Conf.at(broker.list_key if broker is not None else None)
    wanted = task.get("save")
    if wanted is None:
        wanted = limits.SAVE_LIMIT >= 0
    if task["success"] and not wanted:
        return None
    found: Task | None = Task.objects.filter(id=task["id"]).first()
    if found is not None:
        if found.success:
            return found
        found.stopped = task["stopped"]
        found.result = task["result"]
        found.success = task["success"]
        found.attempt_count += 1
        _save(found, task)
        return found
    made = row_of(task)
    made.attempt_count = 1
    _save(made, task, force_insert=True)
    if task["success"] and limits.SAVE_LIMIT > 0:
        _drop(task, limits.SAVE_LIMIT, limits.SAVE_LIMIT_PER)
    return made


def row_of(task: Mapping[str, Any]) -> Task:
    """Make a row of a task, unsaved."""
    hook = task.get("hook")
    group = task.get("group")
    return Task(
        id=task["id"],
        name=task["name"],
        func=get_func_repr(task["func"]) or "",
        hook=get_func_repr(hook),
        args=task["args"],
        kwargs=task["kwargs"],
        cluster=task.get("cluster"),
        started=task["started"],
        stopped=task["stopped"],
        result=task["result"],
        group=None if group is None else str(group),
        success=task["success"],
    )


def save_cached(task: dict[str, Any], broker: Broker | None = None) -> None:
    """Keep what came out of a task in the cache, and its key in that of its group.

    Args:
        task: with its `result`, `success` and `stopped`; `cached` says for how many seconds, or
            True for without end.
        broker: of its queue.
    """
    broker = broker or get_broker()
    if broker.cache is None:
        log.error("the cache %s of Q_CLUSTER is not in CACHES; the result is lost", Conf.CACHE)
        return
    timeout = None if task["cached"] is True else task["cached"]
    key = f"{broker.list_key}:{task['id']}"
    broker.cache.set(key, packed(task), timeout)
    group = task.get("group")
    if not group:
        return
    index = f"{broker.list_key}:{group}:keys"
    alias = conf.database()
    # Two who write it at once would lose one of the keys.
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [index])
        keys = broker.cache.get(index) or []
        if key not in keys:
            broker.cache.set(index, [*keys, key], timeout)


def packed(task: Mapping[str, Any]) -> str:
    """Write a task for the cache; signed, and as a pickle where these are allowed."""
    if conf.pickle():
        return SignedPackage.dumps(dict(task))
    return _PLAIN + fields.dumps({key: value for key, value in task.items() if key != "callable"})


def opened(text: str | None) -> dict[str, Any] | None:
    """Read what `packed` has written; None for nothing."""
    if not text:
        return None
    found: dict[str, Any] = (
        fields.loads(text[len(_PLAIN) :]) if text.startswith(_PLAIN) else SignedPackage.loads(text)
    )
    return found


def _save(row: Task, task: Mapping[str, Any], **options: Any) -> None:
    """Save a row; a hook that has no path is called all the same."""
    hook = task.get("hook")
    if callable(hook):
        path, row.hook = row.hook, _Called(row.hook or "", hook)
        try:
            row.save(**options)
        finally:
            row.hook = path
        return
    row.save(**options)


class _Called(str):
    """A text that is stored, and what is called in its place."""

    def __new__(cls, text: str, function: Any) -> "_Called":
        """Make it."""
        made = super().__new__(cls, text)
        made.function = function
        return made

    function: Any

    def __call__(self, task: Task) -> Any:
        """Call it."""
        return self.function(task)


def _drop(task: Mapping[str, Any], limit: int, per: str | None) -> None:
    """Delete the oldest successes beyond the limit: of all, or of the group, name or function."""
    found = Success.objects.order_by("-stopped", "pk")
    if per in _PER and task.get(per) is not None:
        value = get_func_repr(task[per]) if per == "func" else str(task[per])
        found = found.filter(**{per: value})
    beyond = Success.objects.filter(pk__in=found.values("pk")[limit : limit + _DROPPED])
    if any(signal.has_listeners(Success) for signal in (pre_delete, post_delete)):
        beyond.delete()
    else:
        # One statement, where that would be four; whoever is not told does not miss them.
        beyond._raw_delete(beyond.db)


def is_kept(task: Mapping[str, Any], broker: Broker) -> bool:
    """Tell whether anything was kept of a task."""
    if task.get("cached"):
        cache = broker.cache
        return cache is not None and cache.get(f"{broker.list_key}:{task['id']}") is not None
    return bool(Task.objects.filter(id=task["id"]).exists())
