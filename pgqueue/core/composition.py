"""Options that tie jobs together: groups, what runs after what, what follows when a job is over."""

from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from pgqueue.core.errors import ConfigurationError, shown, suggest

#: The names of callbacks.
CALLBACKS: Final = ("on_success", "on_failure", "on_finish")
RUN_IF: Final = ("succeeded", "finished", "failed")
RESULTS: Final = ("args", "list")


@runtime_checkable
class MakesCallback(Protocol):
    """What can be enqueued when something else is over: a task, or a job of one."""

    def as_callback(self) -> dict[str, Any]:
        """Give it in the form of `pgqueue.jobs.callbacks`."""


#: The name of a task, or the form of `pgqueue.jobs.callbacks`.
Callback: TypeAlias = str | dict[str, Any]


def callback(value: object, option: str) -> Callback | None:
    """Give a callback in the form of `pgqueue.jobs.callbacks`.

    Raises:
        ConfigurationError: it is no task, no job of one and no name.
    """
    if value is None or (isinstance(value, str) and value):
        return value or None
    if isinstance(value, dict):
        return value
    if isinstance(value, MakesCallback):
        return value.as_callback()
    raise ConfigurationError(
        f"{option} must be a task, a job of one (task.job(…)) or a task's name; got {shown(value)}"
    )


def checked_callbacks(options: object) -> dict[str, Callback]:
    """Give the callbacks of options that are set, in their plain form."""
    found = {name: callback(getattr(options, name), name) for name in CALLBACKS}
    return {name: value for name, value in found.items() if value is not None}


def checked(options: object) -> dict[str, object]:
    """Give the options of one job that tie it to others, those that are set, in their plain form.

    Raises:
        ConfigurationError: one of them is wrong.
    """
    found: dict[str, object] = dict(checked_callbacks(options))
    group = getattr(options, "group", None)
    if group is not None:
        found["group"] = to_id(group, "group", "a group or its id")
    after = getattr(options, "after", ())
    if after is not None and after != ():
        if not isinstance(after, Iterable) or isinstance(after, str):
            after = [after]
        found["after"] = tuple(to_id(one, "after", "jobs or their ids") for one in after)
    for name, words in (("run_if", RUN_IF), ("results", RESULTS)):
        value = getattr(options, name, None)
        if value is None:
            continue
        if value not in words:
            near = suggest(value, words) if isinstance(value, str) else ""
            raise ConfigurationError(
                f"{name} must be one of {', '.join(words)}; got {shown(value)}{near}"
            )
        if not after:
            raise ConfigurationError(f"{name} must be given with after=, or in a flow")
    return found


def callbacks_of(options: object) -> dict[str, Callback]:
    """Give the callbacks of options as the object that is stored; empty without any."""
    found = {name: getattr(options, name) for name in CALLBACKS}
    return {name: value for name, value in found.items() if value is not None}


def to_id(value: object, option: str, what: str) -> int:
    """Give the id of a group or a job, or raise ConfigurationError."""
    found = getattr(value, "id", value)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found < 2**63:
        raise ConfigurationError(f"{option} must be {what}; got {shown(value)}")
    return found
