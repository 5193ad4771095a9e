"""One function over many arguments: a group of jobs, and one task that has all their results."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import connections, transaction
from django.utils import timezone

from pgqueue.api.default import default_app
from pgqueue.compat import pickles
from pgqueue.compat.django_q import packages, running, saving
from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.conf import Conf, logger
from pgqueue.compat.django_q.enqueueing import described, refuse_in_coroutine
from pgqueue.compat.django_q.humanhash import humanize, uuid
from pgqueue.compat.django_q.signals import pre_enqueue
from pgqueue.core import codec
from pgqueue.django import conf

_MEMBERS: Final = """
    SELECT j.task, j.args::text, j.meta::text, f.state, f.result::text,
        coalesce(e.message || ' : ' || e.traceback, f.error)
    FROM pgqueue.jobs AS j
    LEFT JOIN pgqueue.finished_jobs AS f ON f.job_id = j.id
    LEFT JOIN LATERAL (
        SELECT e.message, e.traceback FROM pgqueue.job_errors AS e
        WHERE e.job_id = j.id ORDER BY e.at DESC, e.attempt DESC LIMIT 1
    ) AS e ON f.state <> 'succeeded'
    WHERE j.group_id = %s
    ORDER BY j.id
"""


def async_iter(func: Any, args_iter: Sequence[Any], **kwargs: Any) -> str:
    """Enqueue a task for each of many arguments; gives the id of the one that will have all their
    results, as a list in the same order.

    It has succeeded if all have; in the place of the result of one that has not stands its error.

    Args:
        func: a dotted path, or a function.
        args_iter: its arguments: a tuple for several, anything else for one.
        kwargs: as of `async_task`. There is no hook.

    Raises:
        Exception: as `async_task`.
    """
    items = list(args_iter)
    made = uuid()[1]
    nested = "q_options" in kwargs
    options: dict[str, Any] = dict(kwargs["q_options"] if nested else kwargs)
    options.pop("hook", None)
    name = kwargs.get("task_name") or options.get("task_name") or humanize(made)
    if cached := options.get("cached", Conf.CACHED):
        options["iter_cached"] = cached
    options |= {"group": made, "iter_count": len(items), "cached": True}
    words = {**kwargs, "q_options": options} if nested else options
    members = []
    for item in items:
        task, broker = described(func, item if isinstance(item, tuple) else (item,), words)
        members.append((task, isinstance(item, tuple)))
    sample, broker = described(func, (), words)
    whole: dict[str, Any] = {
        "id": made,
        "name": name,
        "func": sample["func"],
        "kwargs": sample["kwargs"],
        "started": sample["started"],
        **{key: sample[key] for key in ("iter_cached", "save", "sync") if key in sample},
    }
    refuse_in_coroutine(sample, broker)
    for task, _is_tuple in members:
        pre_enqueue.send(sender=running.SENDER, task=task)
    if sample.get("sync") or not items:
        _run(whole, members, broker)
    else:
        _put(whole, members, broker)
    return made


def collate(context: Any, told: Mapping[str, Any]) -> None:
    """Make the one task of the members of a group that has ended; what the group calls back."""
    meta = told["meta"][packages.PREFIX]
    whole = dict(packages.unpacked(meta, packages.COLLATE))
    results: list[Any] = []
    args: list[Any] = []
    success = True
    with connections[conf.database()].cursor() as cursor:
        cursor.execute(_MEMBERS, [told["group_id"]])
        rows = cursor.fetchall()
    for name, given, noted, state, result, error in rows:
        values: Any = packages.unpacked(codec.loads(given), name)
        said: Any = codec.loads(noted)
        is_tuple = said[packages.PREFIX].get("iter_tuple")
        args.append(tuple(values) if is_tuple else values[0])
        if state == "succeeded":
            read = None if result is None else codec.loads(result)
            results.append(packages.unpacked(read, name))
        else:
            success = False
            results.append(error)
    _keep(whole, args, results, get_broker(context.queue), success=success)


def name_of(task_id: str) -> str:
    """Name the group of an iteration."""
    return f"{packages.PREFIX}:{task_id}"


def _put(
    whole: Mapping[str, Any], members: Sequence[tuple[dict[str, Any], bool]], broker: Broker
) -> None:
    queue = broker.list_key
    packed = pickles.pack(dict(whole), task=packages.COLLATE, queue=packages.PREFIX)
    name = {"id": whole["id"], "name": whole["name"]}
    told = {packages.PREFIX: name, packages.KEYS: packages.keys_of(name)}
    app = default_app()
    with transaction.atomic(using=conf.database()):
        group = app.group(
            name_of(whole["id"]),
            on_finish={"task": packages.COLLATE, "queue": queue, "meta": told},
            meta={packages.PREFIX: packed},
        )
        app.enqueue_many(
            packages.job_of({**task, "iter_tuple": is_tuple}, queue, group.id)
            for task, is_tuple in members
        )
        group.close()
    logger.info("Enqueued [%s] %d tasks of %s", queue, len(members), whole["name"])


def _run(
    whole: Mapping[str, Any], members: Sequence[tuple[dict[str, Any], bool]], broker: Broker
) -> None:
    """Run all members here and now.

    Raises:
        Exception: what the function has raised; then nothing is kept.
    """
    results, args, success = [], [], True
    for task, is_tuple in members:
        task["cluster"] = broker.list_key
        limit = packages.limit(task, Conf.at(broker.list_key))
        error = running.execute_within(limit, task)
        if error is not None and not running.is_missing(error):
            raise error
        saving.refuse_unstorable(task)
        success = success and task["success"]
        results.append(task["result"])
        args.append(task["args"] if is_tuple else task["args"][0])
        running.tell(task)
    _keep(dict(whole), args, results, broker, success=success)


def _keep(
    whole: dict[str, Any], args: list[Any], results: list[Any], broker: Broker, *, success: bool
) -> None:
    task = {
        **whole,
        "args": args,
        "cluster": broker.list_key,
        "stopped": timezone.now(),
        "result": results,
        "success": success,
    }
    cached = task.pop("iter_cached", None)
    if cached:
        task["cached"] = cached
    saving.save(task, broker)
    running.tell(task)
