"""The class of tasks of our backend: Django's, with the options that the queue has besides.

The options are those of `@pgqueue.task` and of its `using()`, by the same names, as far as Django
has no word of its own for them.
"""

from collections.abc import Callable
from dataclasses import field, fields, make_dataclass, replace
from typing import Any, Final

from pgqueue.core.errors import PgQueueError, suggest
from pgqueue.core.options import EnqueueOptions, TaskOptions
from pgqueue.django import task_api

#: What Django says by `queue_name`, `priority`, `run_after`, `takes_context` and the function; and
#: several jobs in one call, which its tasks cannot be given.
_DJANGOS: Final = frozenset(
    {"queue", "priority", "run_at", "context", "name", "batch", "batch_wait"}
)

#: Options of the task, said where it is declared.
TASK_WORDS: Final = tuple(item.name for item in fields(TaskOptions) if item.name not in _DJANGOS)
#: Options of one job, said by `using()`; some are both.
JOB_WORDS: Final = tuple(item.name for item in fields(EnqueueOptions) if item.name not in _DJANGOS)
WORDS: Final = tuple(dict.fromkeys((*TASK_WORDS, *JOB_WORDS)))
#: What says how a key is kept, by the word that gives the key to one job.
_OF_KEYS: Final = {
    "unique_key": ("unique", ("unique_while", "unique_for", "on_duplicate")),
    "concurrency_key": ("concurrency", ("max_running", "rate")),
}


def said(task: Any, words: tuple[str, ...]) -> dict[str, Any]:
    """Give the options of a task that were said, of any class of tasks."""
    found = {word: getattr(task, word, None) for word in words}
    if found.get("after") is not None:
        found["after"] = _jobs(found["after"])
    return {word: value for word, value in found.items() if value is not None}


def said_of_task(task: Any) -> dict[str, Any]:
    """Give the options of a task that hold for all of its jobs, without what was said with a key of
    one job."""
    found = said(task, TASK_WORDS)
    for key, (whole, words) in _OF_KEYS.items():
        if getattr(task, key, None) is not None and not found.get(whole):
            for word in words:
                found.pop(word, None)
    return found


def _jobs(after: Any) -> Any:
    """Give jobs as the queue knows them; the id of a result is a text."""
    if isinstance(after, list | tuple):
        return tuple(_jobs(one) for one in after)
    number = str(getattr(after, "id", after))
    return int(number) if number.isascii() and number.isdigit() else after


def check_words(task: Any) -> None:
    """Pass when the options are right.

    Raises:
        InvalidTask: one is not.
    """
    try:
        TaskOptions.from_kwargs(**said_of_task(task))
        EnqueueOptions.from_kwargs(**said(task, JOB_WORDS))
    except PgQueueError as error:
        raise task_api.InvalidTask(f"{task.func.__name__}: {error}") from None


def _post_init(self: Any) -> None:
    task_api.Task.__post_init__(self)
    check_words(self)


def _as_callback(self: Any) -> dict[str, Any]:
    """Give it in the form of `pgqueue.jobs.callbacks`: its jobs are told what has ended."""
    found = {"task": self.module_path, "queue": self.queue_name}
    if self.priority:
        found["priority"] = int(self.priority)
    # Keys that would be made from arguments are not known: what ended is the only one.
    for word in ("concurrency_key", "max_running", "rate", "fair_key"):
        if getattr(self, word, None) is not None:
            found[word] = getattr(self, word)
    if "rate" in found:
        found.setdefault("concurrency_key", f"rate:{self.module_path}")
    if "concurrency_key" not in found:
        found.pop("max_running", None)
    return found


def _using(self: Any, **options: Any) -> Any:
    """Give the task with other options; those that are None stay as they are.

    Args:
        options: `priority`, `queue_name`, `run_after` (a datetime, or a timedelta that counts from
            the enqueue) and `backend`; and of the queue `max_attempts`, `timeout`, `expires`,
            `expires_at`, `meta`, `unique_key`, `concurrency_key`, `group`, `after` and the others
            of `pgqueue.Task.using`.
    """
    known = {item.name for item in fields(self)} - {"func", "takes_context"}
    for name in options:
        if name not in known:
            raise TypeError(
                f"using() got an unexpected keyword argument '{name}'{suggest(name, known)}"
            )
    return replace(self, **{name: value for name, value in options.items() if value is not None})


PgTask: Any = make_dataclass(
    "PgTask",
    [(word, Any, field(default=None)) for word in WORDS],
    bases=(task_api.Task,),
    namespace={
        "__doc__": "A task of Django's framework with the options of the queue.",
        "__module__": __name__,
        "__post_init__": _post_init,
        "as_callback": _as_callback,
        "using": _using,
    },
    frozen=True,
    slots=True,
    kw_only=True,
)


def task(
    function: Callable[..., Any] | None = None, *, backend: str = "default", **options: Any
) -> Any:
    """Make a function a task of Django's framework; as `django.tasks.task`, with our options.

    From Django 6.1 on its own decorator takes them as well.

    Args:
        function: the function, at the top of a module.
        backend: an alias of TASKS.
        options: `priority`, `queue_name`, `takes_context`, and `max_attempts`, `backoff`,
            `timeout`, `retry_on`, `give_up_on`, `expires`, `atomic`, `unique`, `concurrency`,
            `fair_by`, `on_success`, `aliases`, `meta` and the others of `pgqueue.task`, but for
            `batch`.
    """
    known: dict[str, Any] = {
        "priority": 0,
        "queue_name": "default",
        "takes_context": False,
        "run_after": None,
    }

    def make(target: Callable[..., Any]) -> Any:
        kind = task_api.backends()[backend].task_class
        return kind(func=target, backend=backend, **{**known, **options})

    return make if function is None else make(function)
