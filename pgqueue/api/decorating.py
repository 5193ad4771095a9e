"""How a function becomes a task, and where the tasks of this process are kept."""

import inspect
from collections.abc import Callable
from typing import Any, Final

from pgqueue.api.clients import Clients
from pgqueue.api.naming import name_of
from pgqueue.api.registry import Registry
from pgqueue.api.task import ContextTask, Task
from pgqueue.core.errors import ConfigurationError, shown
from pgqueue.core.options import TaskOptions

#: The tasks of this process. There is one registry however many apps there are, so that a name
#: means one function wherever it is read.
registry: Final = Registry()


def decorate(clients: Callable[[], Clients], function: Any, options: dict[str, Any]) -> Any:
    """Make a task of a function, or a decorator that does, and register it.

    Raises:
        ConfigurationError: an option is wrong, or a worker could not find or call the function.
        TaskAlreadyRegisteredError: the name is another function's.
    """
    checked = TaskOptions.from_kwargs(**options)

    def make(target: Callable[..., Any]) -> Task[..., Any]:
        _check_function(target)
        kind: type[Task[..., Any]] = ContextTask if checked.context else Task
        made = kind(target, checked, checked.name or name_of(target), clients)
        registry.add(made)
        return made

    return make if function is None else make(function)


def _check_function(function: object) -> None:
    if isinstance(function, Task):
        raise ConfigurationError(f"{function.name} is a task already; leave one @task out")
    if not callable(function):
        raise ConfigurationError(
            f"@task makes a task of a function; got {shown(function)}; "
            "options are given by name, as in @task(queue='mail')"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            "a task must do its work when called; a generator function only begins to; "
            "return a value instead of yielding"
        )
