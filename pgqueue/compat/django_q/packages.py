"""A task of django-q as a dictionary, as a job, as a row of the queue: how each becomes another.

The dictionary is what receivers of signals see and may change: `id`, `name`, `func`, `args`,
`kwargs`, `started` and the options that were given. In a job the function stands in the name of its
task, arguments where those of every job stand, and all the rest in its meta, under `django_q`.
"""

import datetime as dt
import hashlib
import inspect
from collections.abc import Mapping
from typing import Any, Final

from django.utils import timezone

from pgqueue.api.specs import spec_of
from pgqueue.compat import paths, pickles
from pgqueue.compat.django_q.conf import ClusterConf, Conf
from pgqueue.compat.django_q.fields import with_rows
from pgqueue.compat.django_q.humanhash import humanize
from pgqueue.compat.django_q.signing import BadSignature, SignedPackage
from pgqueue.compat.django_q.utils import get_func_repr
from pgqueue.compat.serving import name_for, path_in
from pgqueue.core import codec
from pgqueue.core.errors import ConfigurationError, DecodeError, shown
from pgqueue.core.options import MAX_ATTEMPTS, EnqueueOptions
from pgqueue.db.statements.adding import JobSpec

#: Before the colon of the names of tasks; and where in a job's meta the rest stands.
PREFIX: Final = "django_q"
#: The tasks that are no functions of the project's; two colons, so that none can be a path.
PACKAGE: Final = "django_q::package"
ENDED: Final = "django_q::ended"
COLLATE: Final = "django_q::collate"
SCHEDULE: Final = "django_q::schedule"
#: Where in a job's meta the names stand that an index finds it by.
KEYS: Final = "pgqueue_keys"
#: What of a task is such a name.
_KEYED: Final = ("id", "name", "group")
#: What stands in a job where it belongs, and so not in its meta.
_ELSEWHERE: Final = frozenset({"func", "args", "kwargs", "timeout"})
#: Longest name and group, in characters; an index holds them.
_LONGEST: Final = 500
_LONGEST_TASK: Final = 400


def job_of(task: Mapping[str, Any], queue: str, group: int | None = None) -> JobSpec:
    """Make the job of a task.

    Args:
        task: as a dictionary.
        queue: where it goes.
        group: the queue's own group that it is a member of.

    Raises:
        PathNotAllowedError: its function may not be run here.
        ConfigurationError: an option is wrong.
        NotSerializableError: something in it can neither be stored nor be pickled.
    """
    func, args, kwargs = task["func"], tuple(task["args"]), dict(task["kwargs"])
    rest = {key: value for key, value in task.items() if key not in _ELSEWHERE}
    path = _path(func)
    if path is None:
        rest["callable"] = func
        path = (get_func_repr(func) or "")[:_LONGEST_TASK]
    else:
        paths.check(path, args)
    name = name_for(PREFIX, path)
    for key in ("name", "group"):
        if rest.get(key) is not None:
            rest[key] = _label(rest[key], key)
    conf = Conf.at(queue)
    options = EnqueueOptions(
        queue=queue,
        timeout=limit(task, conf),
        max_attempts=attempts(task, conf),
        meta={PREFIX: pickles.pack(rest, task=name, queue=PREFIX), KEYS: keys_of(rest)},
        group=group,
        on_failure={"task": ENDED, "queue": queue},
    )
    packed = pickles.pack([list(args), kwargs], task=name, queue=PREFIX)
    return spec_of(name, tuple(packed[0]), packed[1], options)


def task_of(
    name: str,
    job_id: int,
    args: Any,
    kwargs: Any,
    meta: Mapping[str, Any],
    started: Any = None,
) -> dict[str, Any]:
    """Make the dictionary of a job.

    One that did not come from here, as by a plain INSERT, gets the id that its number stands for.

    Args:
        name: of its task.
        job_id: its number.
        args, kwargs, meta: as the codec has read them.
        started: when it was enqueued; None for now.

    Raises:
        DecodeError: a pickle in it is not signed for it, or cannot be read.
    """
    told = meta.get(PREFIX)
    rest = unpacked(told if isinstance(told, dict) else {}, name)
    task: dict[str, Any] = {
        "id": rest.pop("id", None) or id_of(job_id),
        "name": rest.pop("name", None),
        "func": rest.pop("callable", None) or path_in(name),
        "args": tuple(unpacked(list(args), name)),
        "kwargs": unpacked(dict(kwargs), name),
        "started": rest.pop("started", None) or started or timezone.now(),
    }
    task["name"] = task["name"] or humanize(task["id"])
    return {**task, **rest}


def read(payload: str) -> dict[str, Any]:
    """Read a payload of the queue: what the view gives of a job, or a signed package.

    Raises:
        BadSignature: it is neither.
        DecodeError: it cannot be read.
    """
    if not payload.startswith("{"):
        task: dict[str, Any] = SignedPackage.loads(payload)
        return task
    row: Any = codec.loads(payload)
    try:
        found = task_of(
            row["task"], 0, row["args"], row["kwargs"],
            {PREFIX: row["options"]}, dt.datetime.fromisoformat(row["started"]),
        )  # fmt: skip
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DecodeError):
            raise
        raise BadSignature("it is neither signed nor a task of this queue") from None
    if row.get("timeout") is not None:
        found["timeout"] = row["timeout"]
    return found


def keys_of(task: Mapping[str, Any]) -> list[str]:
    """Give the names that the index of jobs finds a task by: its id, its name, its group."""
    return [key_of(kind, task[kind]) for kind in _KEYED if task.get(kind) is not None]


def key_of(kind: str, value: Any) -> str:
    """Give the name that the index finds a task by: by `id`, `name` or `group`."""
    return f"{PREFIX}:{kind}:{value}"


def unpacked(value: Any, name: str) -> Any:
    """Open what `job_of`, or a worker, has packed for a task of this name.

    Its pickles are not bound to a queue, but to all that are this facade's: tasks are moved.

    Raises:
        DecodeError: a pickle is not signed for it, or cannot be read.
    """
    return with_rows(pickles.unpack(value, task=name, queue=PREFIX))


def id_of(job_id: int) -> str:
    """Give the id of a task that was made without one: the same each time."""
    return hashlib.blake2b(b"job %d" % job_id, digest_size=16).hexdigest()


def next_id(task_id: str) -> str:
    """Give the id of the next link of a chain: the same each time, so that it is made once."""
    return hashlib.blake2b(f"after {task_id}".encode(), digest_size=16).hexdigest()


def limit(task: Mapping[str, Any], conf: ClusterConf) -> float | None:
    """Give the longest run of a task in seconds; None for no limit.

    Raises:
        ConfigurationError: its timeout is no number.
    """
    found = task.get("timeout", conf.TIMEOUT)
    if found is not None and not isinstance(found, int | float):
        raise ConfigurationError(f"timeout must be a number of seconds; got {shown(found)}")
    return None if found is None or found <= 0 else float(found)


def attempts(task: Mapping[str, Any], conf: ClusterConf) -> int:
    """Tell how many attempts of a task may fail.

    A failure is delivered again unless it is acknowledged, which `ack_failure`, `max_attempts` and
    brokers that keep no track say; and a member of an iteration, whose result others wait for.
    """
    if task.get("ack_failure") or not redelivers(conf):
        return 1
    most = min(int(conf.MAX_ATTEMPTS or 0), MAX_ATTEMPTS)
    if task.get("iter_count") is not None:
        return max(1, most)
    return most if most > 0 else MAX_ATTEMPTS


def redelivers(conf: ClusterConf) -> bool:
    """Tell whether the broker that the settings name delivers again what was not acknowledged; of
    all there were, Redis alone did not."""
    others = (conf.BROKER_CLASS, conf.IRON_MQ, conf.SQS, conf.ORM, conf.MONGO)
    return any(others) or not (conf.REDIS or conf.DJANGO_REDIS)


def _path(func: Any) -> str | None:
    """Give the dotted path of a function; None for an object that can be called and pickled.

    Raises:
        ConfigurationError: it is a lambda, or was defined in another function.
    """
    if isinstance(func, str):
        return func
    if inspect.ismethod(func) and not isinstance(func.__self__, type):
        return None
    try:
        return paths.path_of(func)
    except (ConfigurationError, AttributeError):
        if inspect.isfunction(func) or isinstance(func, type):
            raise
        return None


def _label(value: Any, key: str) -> str:
    text = str(value)
    if len(text) > _LONGEST:
        raise ConfigurationError(
            f"{key} must be at most {_LONGEST} characters long; got {len(text)}"
        )
    return text
