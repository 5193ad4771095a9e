"""Tasks, iterations and chains as objects that can be put together, run and asked."""

from collections.abc import Sequence
from typing import Any

from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.enqueueing import async_chain, async_task
from pgqueue.compat.django_q.iterations import async_iter
from pgqueue.compat.django_q.results import (
    count_group,
    delete_group,
    fetch,
    fetch_group,
    result,
    result_group,
)


class _Option:
    """An option of a task, in its keywords or in their `q_options`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        if task is None:
            return self
        default = Conf.CACHED if self._name == "cached" else None
        return task._options().get(self._name, default)

    def __set__(self, task: Any, value: Any) -> None:
        task._options()[self._name] = value
        task.started = False


class _Part:
    """What makes a task another one when it changes: it is not started then."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        return self if task is None else getattr(task, self._name)

    def __set__(self, task: Any, value: Any) -> None:
        setattr(task, self._name, value)
        task.started = False


class AsyncTask:
    """A task that can be changed until it is run, and again for the next run.

    Args:
        func: a dotted path, or a function.
        args: its positional arguments.
        kwargs: its keyword arguments, and options, as of `async_task`.

    Attributes:
        id: of the last run; empty before.
        started: whether it was run and not changed since.
    """

    func = _Part()
    args = _Part()
    kwargs = _Part()
    broker = _Option()
    sync = _Option()
    save = _Option()
    hook = _Option()
    group = _Option()
    cached = _Option()

    def __init__(self, func: Any, *args: Any, **kwargs: Any) -> None:
        self.id = ""
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.started = False

    def _options(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kwargs.get("q_options", self.kwargs)
        return found

    def run(self) -> str:
        """Enqueue it; gives its id."""
        self.id = async_task(self.func, *self.args, **self.kwargs)
        self.started = True
        return self.id

    def result(self, wait: int = 0) -> Any:
        """Give its result; None where it was not run, or has none yet. See `result`."""
        return result(self.id, wait=wait, cached=self.cached) if self.started else None

    def fetch(self, wait: int = 0) -> Any:
        """Give its row; None where it was not run, or has none yet. See `fetch`."""
        return fetch(self.id, wait=wait, cached=self.cached) if self.started else None

    def result_group(self, failures: bool = False, wait: int = 0, count: int | None = None) -> Any:
        """Give the results of its group; None where it was not run or has none."""
        if not (self.started and self.group):
            return None
        return result_group(
            self.group, failures=failures, wait=wait, count=count, cached=self.cached
        )

    def fetch_group(self, failures: bool = True, wait: int = 0, count: int | None = None) -> Any:
        """Give the rows of its group; None where it was not run or has none."""
        if not (self.started and self.group):
            return None
        return fetch_group(
            self.group, failures=failures, wait=wait, count=count, cached=self.cached
        )


class Iter:
    """A function over many arguments.

    Args:
        func: a dotted path, or a function.
        args: a list of arguments, a tuple for several.
        kwargs: as of `async_iter`.
        cached: whether the result goes to the cache; None for the setting.
        sync: whether it is run here and now; None for the setting.
        broker: of its tasks; None for that of the cluster.
    """

    def __init__(
        self,
        func: Any = None,
        args: list[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        cached: Any = None,
        sync: bool | None = None,
        broker: Broker | None = None,
    ) -> None:
        self.func = func
        self.args = args or []
        self.kwargs = kwargs or {}
        self.id = ""
        self.broker = broker or get_broker()
        self.cached = Conf.CACHED if cached is None else cached
        self.sync = Conf.SYNC if sync is None else sync
        self.started = False

    def append(self, *args: Any) -> int:
        """Add the arguments of one call; gives how many calls there are."""
        self.args.append(args)
        self.started = False
        return self.length()

    def run(self) -> str:
        """Enqueue it; gives the id of the task that will have the results."""
        own = {"cached": self.cached, "sync": self.sync, "broker": self.broker}
        if "q_options" in self.kwargs:
            words = {**self.kwargs, "q_options": {**self.kwargs["q_options"], **own}}
        else:
            words = {**self.kwargs, **own}
        self.id = async_iter(self.func, self.args, **words)
        self.started = True
        return self.id

    def result(self, wait: int = 0) -> Any:
        """Give the list of results; None while there is none. See `result`."""
        return result(self.id, wait=wait, cached=self.cached) if self.started else None

    def fetch(self, wait: int = 0) -> Any:
        """Give the task that has the results; None while there is none. See `fetch`."""
        return fetch(self.id, wait=wait, cached=self.cached) if self.started else None

    def length(self) -> int:
        """Count the calls."""
        return len(self.args)


class Chain:
    """Functions that run one after the other.

    Args:
        chain: as of `async_chain`.
        group: their label; None for a new one.
        cached: whether results go to the cache; None for the setting.
        sync: whether they are run here and now; None for the setting.
        broker: of the tasks; None for that of the cluster.
        stop_on_failure: whether the chain ends with the first that fails.
    """

    def __init__(
        self,
        chain: Sequence[Any] | None = None,
        group: str | None = None,
        cached: Any = None,
        sync: bool | None = None,
        broker: Broker | None = None,
        stop_on_failure: bool = False,
    ) -> None:
        self.chain: Any = chain or []
        self.group = group or ""
        self.broker = broker or get_broker()
        self.cached = Conf.CACHED if cached is None else cached
        self.sync = Conf.SYNC if sync is None else sync
        self.stop_on_failure = stop_on_failure
        self.started = False

    def append(self, func: Any, *args: Any, **kwargs: Any) -> int:
        """Add a function, with arguments and options as of `async_task`; gives how many there are.

        Results of a chain that was run lose their label.
        """
        self.chain.append((func, args, kwargs))
        if self.started:
            delete_group(self.group, cached=False)
            if self.cached:
                delete_group(self.group, cached=True)
            self.started = False
        return self.length()

    def run(self) -> str:
        """Enqueue the first; gives the group."""
        self.group = async_chain(
            self.chain,
            group=self.group,
            cached=self.cached,
            sync=self.sync,
            broker=self.broker,
            stop_on_failure=self.stop_on_failure,
        )
        self.started = True
        return self.group

    def result(self, wait: int = 0) -> Any:
        """Give the results when all have run; None where it was not run. See `result_group`."""
        if not self.started:
            return None
        return result_group(self.group, wait=wait, count=self.length(), cached=self.cached)

    def fetch(self, failures: bool = True, wait: int = 0) -> Any:
        """Give the tasks when all have run; None where it was not run. See `fetch_group`."""
        if not self.started:
            return None
        return fetch_group(
            self.group, failures=failures, wait=wait, count=self.length(), cached=self.cached
        )

    def current(self) -> int | None:
        """Count those that have run; None where it was not run."""
        return count_group(self.group, cached=self.cached) if self.started else None

    def length(self) -> int:
        """Count the functions."""
        return len(self.chain)
