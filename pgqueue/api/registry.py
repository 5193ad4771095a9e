"""Which tasks this process knows, by name."""

from collections.abc import Callable, Iterator
from typing import Any

from pgqueue.api.framework import current
from pgqueue.api.task import Task
from pgqueue.core.errors import (
    TaskAlreadyRegisteredError,
    TaskNotFoundError,
    shown,
    suggest,
)

#: Gives the task of a name that begins with the finder's prefix.
Finder = Callable[[str], Task[Any, Any]]


class Registry:
    """Find tasks by their names and aliases."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[Any, Any]] = {}
        self._finders: dict[str, Finder] = {}

    def add_finder(self, prefix: str, find: Finder) -> None:
        """Let another give the tasks whose names begin with a prefix and a colon; such a task is
        not kept here. The last one counts.

        Args:
            prefix: without the colon.
            find: called with the whole name, each time a job needs the task.
        """
        self._finders[prefix] = find

    def add(self, task: Task[Any, Any]) -> None:
        """Take in a task, in the place of the same function's if its module was loaded again.

        Raises:
            TaskAlreadyRegisteredError: another function has one of its names; then none is taken.
        """
        names = (task.name, *task.options.aliases)
        for name in names:
            other = self._tasks.get(name)
            if other is not None and not _is_same(other.function, task.function):
                raise TaskAlreadyRegisteredError(
                    f"a task's name must be its own; {shown(name)} is "
                    f"{_place(other.function)} already, and now {_place(task.function)}; "
                    "give one of them another name="
                )
        for name in [name for name, other in self._tasks.items() if _is_replaced(other, task)]:
            del self._tasks[name]
        for name in names:
            self._tasks[name] = task

    def get(self, name: str) -> Task[Any, Any]:
        """Find a task by its name or an alias.

        Raises:
            TaskNotFoundError: there is none, with the nearest name there is.
        """
        task = self._tasks.get(name)
        if task is None and self._finders and ":" in name:
            find = self._finders.get(name.partition(":")[0])
            if find is not None:
                return find(name)
        if task is None and (framework := current()) is not None:
            framework.find(name)
            task = self._tasks.get(name)
        if task is None:
            raise TaskNotFoundError(
                f"no task is named {shown(name)}{suggest(name, self._tasks)}; "
                f"{len(set(self._tasks.values()))} tasks are known, those of the modules that "
                "were imported"
            )
        return task

    def names(self) -> list[str]:
        """List every name and alias, sorted."""
        return sorted(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[Task[Any, Any]]:
        """Give each task once, by name."""
        return iter(sorted(set(self._tasks.values()), key=lambda task: task.name))

    def __len__(self) -> int:
        return len(set(self._tasks.values()))


def _is_replaced(old: Task[Any, Any], new: Task[Any, Any]) -> bool:
    return old.name == new.name and _is_same(old.function, new.function)


def _is_same(old: Callable[..., Any], new: Callable[..., Any]) -> bool:
    """Tell whether two functions are one, loaded twice.

    By a reload; or as the program that was started and as the module it is, so the file decides
    where the modules differ.
    """
    if old is new:
        return True
    if getattr(old, "__qualname__", "") != getattr(new, "__qualname__", None):
        return False
    if getattr(old, "__module__", "") == getattr(new, "__module__", None):
        return True
    file = _file(old)
    return file is not None and file == _file(new)


def _file(function: Callable[..., Any]) -> str | None:
    code = getattr(function, "__code__", None)
    return None if code is None else str(code.co_filename)


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"
