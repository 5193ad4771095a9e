"""Enqueue a task, or the first of a chain; or run it here and now."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.db import IntegrityError, connections
from django.utils import timezone

from pgqueue.api.adding import add
from pgqueue.api.default import default_app
from pgqueue.compat import coroutines, paths
from pgqueue.compat.django_q import packages, running, saving
from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.brokers.orm import ORM
from pgqueue.compat.django_q.conf import Conf, logger
from pgqueue.compat.django_q.humanhash import humanize, uuid
from pgqueue.compat.django_q.models import Schedule
from pgqueue.compat.django_q.signals import pre_enqueue
from pgqueue.compat.django_q.signing import SignedPackage
from pgqueue.core.errors import ConfigurationError, shown
from pgqueue.django import conf

#: Keywords of a call that are options; all others are arguments of the function.
OPTIONS: Final = (
    "hook", "group", "save", "sync", "cached", "ack_failure", "iter_count", "iter_cached", "chain",
    "chain_stop", "broker", "cluster", "timeout",
)  # fmt: skip
#: What to do in a coroutine.
_INSTEAD: Final = (
    "await aasync_task(), aasync_iter(), aasync_chain() or aschedule() of django_q.tasks there, or "
    "sync_to_async() of the function that does it"
)
_EXISTS: Final = (
    "SELECT EXISTS (SELECT FROM pgqueue.jobs AS j WHERE j.meta ? 'pgqueue_keys'"
    " AND j.meta -> 'pgqueue_keys' ? %s)"
    " OR EXISTS (SELECT FROM pgqueue.django_q_tasks AS t WHERE t.id = %s)"
)


def async_task(func: Any, *args: Any, **kwargs: Any) -> str:
    """Enqueue a task, in the transaction that is under way; gives its id.

    Args:
        func: a dotted path, or a function.
        args: its positional arguments.
        kwargs: its keyword arguments; and the options `task_name`, `hook`, `group`, `save`,
            `sync`, `cached`, `ack_failure`, `chain`, `broker`, `cluster` and `timeout`. An option
            that is given in the dictionary `q_options` leaves the keyword of its name to the
            function.

    Raises:
        PathNotAllowedError: the function may not be run by a job.
        NotSerializableError: an argument can neither be stored nor be pickled.
        Exception: with `sync`, what the function has raised.
    """
    task, broker = described(func, args, kwargs)
    return put(task, broker)


def described(
    func: Any, args: Iterable[Any], kwargs: Mapping[str, Any], task_id: str | None = None
) -> tuple[dict[str, Any], Broker]:
    """Describe a task, and find its broker.

    Args:
        task_id: the id that it gets; None for a new one.

    Raises:
        ConfigurationError: there is no function in it, or an option is none.
    """
    if not callable(func) and not (isinstance(func, str) and func.strip()):
        raise ConfigurationError(
            "what a task calls must be a function, or its dotted path such as 'shop.tasks.send'; "
            f"got {shown(func)}"
        )
    keywords = dict(kwargs)
    given = keywords.pop("q_options", None) or {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"q_options must be a dictionary; got {shown(given)}")
    options = dict(given)
    name, made = uuid() if task_id is None else (humanize(task_id), task_id)
    said = options.pop("task_name", None)
    task: dict[str, Any] = {
        "id": made,
        "name": keywords.pop("task_name", None) or said or name,
        "func": func,
        "args": tuple(args),
    }
    for key in OPTIONS:
        if key in options:
            task[key] = options[key]
        elif key in keywords:
            task[key] = keywords.pop(key)
    broker = task.pop("broker", None) or get_broker(task.get("cluster"))
    _check_options(task, broker)
    for key, default in (
        ("cached", Conf.CACHED), ("sync", Conf.SYNC), ("ack_failure", Conf.ACK_FAILURES)
    ):  # fmt: skip
        if key not in task and default:
            task[key] = default
    task["kwargs"] = keywords
    task["started"] = timezone.now()
    return task, broker


def _check_options(task: Mapping[str, Any], broker: Any) -> None:
    """Pass where options are what they must be; what is not would show only after the task has run.

    Raises:
        ConfigurationError: one is not.
    """
    hook, cached, chain = task.get("hook"), task.get("cached"), task.get("chain")
    if hook is not None and not isinstance(hook, str) and not callable(hook):
        raise ConfigurationError(f"hook must be a function or its dotted path; got {shown(hook)}")
    if cached is not None and not isinstance(cached, int | float):
        raise ConfigurationError(f"cached must be True, False or seconds; got {shown(cached)}")
    if chain is not None and not isinstance(chain, list | tuple):
        raise ConfigurationError(f"chain must be a list of functions; got {shown(chain)}")
    if not callable(getattr(broker, "enqueue", None)):
        raise ConfigurationError(
            f"broker must be one, as get_broker() gives it; got {shown(broker)}; the name of a "
            "queue is the option cluster"
        )


def put(task: dict[str, Any], broker: Broker) -> str:
    """Tell of a task that is described, and enqueue it, or run it; gives its id."""
    refuse_in_coroutine(task, broker)
    pre_enqueue.send(sender=running.SENDER, task=task)
    if task.get("sync"):
        return run_here(task, broker)
    if is_ours(broker):
        made: Any = add(default_app().clients, packages.job_of(task, broker.list_key), None).id
    else:
        made = broker.enqueue(SignedPackage.dumps(task))
    logger.info("Enqueued [%s] %s", broker.list_key, made)
    return str(task["id"])


def refuse_in_coroutine(task: Mapping[str, Any], broker: Broker) -> None:
    """Pass, but in a coroutine, where what is to be done with a task needs the database.

    Raises:
        SynchronousOnlyOperation: it does.
    """
    if not task.get("cached") if task.get("sync") else is_ours(broker):
        coroutines.refuse("enqueueing a task", _INSTEAD)


def is_ours(broker: Broker) -> bool:
    """Tell whether a broker enqueues jobs of pgqueue, and nothing of its own."""
    return getattr(type(broker), "enqueue", None) is ORM.enqueue and "enqueue" not in vars(broker)


def run_here(task: dict[str, Any], broker: Broker) -> str:
    """Run a task here and now, keep what came out, and go on with its chain; gives its id.

    A function that cannot be found is kept as a failure.

    Raises:
        Exception: what the function has raised; then nothing is kept.
    """
    task["cluster"] = broker.list_key
    error = running.execute_within(packages.limit(task, Conf.at(broker.list_key)), task)
    if error is not None and not running.is_missing(error):
        raise error
    saving.refuse_unstorable(task)
    saving.save(task, broker)
    go_on(task, broker)
    running.tell(task)
    return str(task["id"])


def async_chain(
    chain: Sequence[Any],
    group: str | None = None,
    cached: Any = None,
    sync: bool | None = None,
    broker: Broker | None = None,
    stop_on_failure: bool = False,
) -> str:
    """Enqueue functions that run one after the other; gives their group.

    Args:
        chain: the functions, or tuples of a function, its positional and its keyword arguments. It
            stays as it is.
        group: their label; None for a new one.
        cached: as of each; None for the setting.
        sync: as of each; None for the setting.
        broker: of each; None for that of the cluster.
        stop_on_failure: whether the chain ends with the first that fails.

    Raises:
        Exception: as `async_task`.
    """
    if not chain:
        raise ConfigurationError("a chain must have at least one function; got none")
    found = group or uuid()[1]
    options = {
        "group": found,
        "cached": Conf.CACHED if cached is None else cached,
        "sync": Conf.SYNC if sync is None else sync,
        "broker": broker or get_broker(),
    }
    if stop_on_failure:
        options["chain_stop"] = True
    _link(list(chain), options)
    return found


def go_on(task: Mapping[str, Any], broker: Broker) -> None:
    """Enqueue the next link of the chain that a task is of, once, whatever came out of the task."""
    chain = task.get("chain")
    if not chain or (task.get("chain_stop") and not task["success"]):
        return
    following = packages.next_id(task["id"])
    if not task.get("sync") and is_known(following):
        return
    options = {key: task[key] for key in ("group", "cached", "sync", "chain_stop") if key in task}
    _link(list(chain), {**options, "broker": broker}, following)


def is_known(task_id: str) -> bool:
    """Tell whether there is a task of this id, in the queue or among those that were kept."""
    with connections[conf.database()].cursor() as cursor:
        cursor.execute(_EXISTS, [packages.key_of("id", task_id), task_id])
        return bool(cursor.fetchone()[0])


def _link(chain: list[Any], options: Mapping[str, Any], task_id: str | None = None) -> None:
    first, *rest = chain
    link = first if isinstance(first, tuple | list) else (first,)
    func, args = link[0], link[1] if len(link) > 1 else ()
    kwargs: Mapping[str, Any] = link[2] if len(link) > 2 else {}
    words = {**kwargs, **options}
    if rest:
        words["chain"] = rest
    task, broker = described(func, args, words, task_id)
    put(task, broker)


def schedule(func: Any, *args: Any, **kwargs: Any) -> Schedule:
    """Make a schedule; gives it.

    Args:
        func: a dotted path, or a function that has one.
        args: literals.
        kwargs: `name`, `hook`, `schedule_type`, `minutes`, `repeats`, `next_run`, `cron`,
            `cluster` and `intended_date_kwarg` are of the schedule; all others, literals, are
            keyword arguments, and `q_options` says the options of its tasks.

    Raises:
        IntegrityError: there is one of this name.
        ValidationError: it could not be.
        PathNotAllowedError: the function may not be run by a job.
    """
    coroutines.refuse("schedule()", _INSTEAD)
    words = {
        "schedule_type": Schedule.ONCE,
        "repeats": -1,
        "next_run": timezone.now(),
    }
    for key in (
        "name", "hook", "schedule_type", "minutes", "repeats", "next_run", "cron", "cluster",
        "intended_date_kwarg",
    ):  # fmt: skip
        if key in kwargs:
            words[key] = kwargs.pop(key)
    # Of arrow and others that wrap a datetime.
    words["next_run"] = getattr(words["next_run"], "datetime", words["next_run"])
    name = words.get("name")
    if name and Schedule.objects.filter(name=name).exists():
        raise IntegrityError(f"a schedule's name must be its own; there is one named {name!r}")
    path = func if isinstance(func, str) else paths.path_of(func)
    paths.check(path, args)
    hook = words.get("hook")
    if hook is not None and not isinstance(hook, str):
        words["hook"] = paths.path_of(hook)
    made = Schedule(func=path, args=str(args), kwargs=str(kwargs), **words)
    made.full_clean()
    made.save()
    return made
