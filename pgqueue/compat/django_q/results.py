"""Looking what came out of tasks: of one, by its id or name, or of a group.

Times are in milliseconds: 0 for one look, negative for ever. None means that there is nothing yet,
or that nothing was kept.
"""

from collections.abc import Callable
from typing import Any

from pgqueue.compat.django_q import saving, waiting
from pgqueue.compat.django_q.brokers import Broker, get_broker
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.models import Task


class _ByConf:
    """Stands for the setting, which is read at the call."""

    def __repr__(self) -> str:
        return "Conf.CACHED"


_BY_CONF: Any = _ByConf()


def result(task_id: str, wait: int = 0, cached: Any = _BY_CONF) -> Any:
    """Give the result of a task; of one that failed, its error.

    Args:
        task_id: its id, or its name.
        wait: for it, at most. Ends with the task, whatever that has returned.
        cached: whether to look into the cache; by default, as `Q_CLUSTER["cached"]` says.

    Raises:
        MultipleObjectsReturned: several tasks have the name.
        WaitInTransactionError: it was enqueued in the transaction that is under way.
    """
    task = fetch(task_id, wait, cached)
    return None if task is None else task.result


def result_cached(task_id: str, wait: int = 0, broker: Broker | None = None) -> Any:
    """Give the result of a task from the cache; see `result`."""
    task = _cached(task_id, wait, broker)
    return None if task is None else task["result"]


def fetch(task_id: str, wait: int = 0, cached: Any = _BY_CONF) -> Task | None:
    """Give a task that has run; see `result`."""
    if _is_cached(cached):
        return fetch_cached(task_id, wait)
    return waiting.for_task(lambda: Task.get_task(str(task_id)), str(task_id), wait)


def fetch_cached(task_id: str, wait: int = 0, broker: Broker | None = None) -> Task | None:
    """Give a task that has run from the cache; saving it makes it a row. See `result`."""
    task = _cached(task_id, wait, broker)
    return None if task is None else saving.row_of(task)


def result_group(
    group_id: str,
    failures: bool = False,
    wait: int = 0,
    count: int | None = None,
    cached: Any = _BY_CONF,
) -> Any:
    """Give the results of a group; None where there are none.

    Args:
        group_id: the group.
        failures: whether to give the errors of those that failed, too.
        wait: for them, at most.
        count: wait until so many have run, whatever came out; with `wait` 0 as long as that takes.
        cached: whether to look into the cache; by default, as `Q_CLUSTER["cached"]` says.

    Raises:
        WaitInTransactionError: one of it was enqueued in the transaction that is under way.
    """
    if _is_cached(cached):
        return result_group_cached(group_id, failures, wait, count)
    return _saved_group(Task.get_result_group, group_id, failures, wait, count)


def result_group_cached(
    group_id: str,
    failures: bool = False,
    wait: int = 0,
    count: int | None = None,
    broker: Broker | None = None,
) -> Any:
    """Give the results of a group from the cache; see `result_group`."""
    tasks = _cached_group(group_id, failures, wait, count, broker)
    return None if tasks is None else [task["result"] for task in tasks]


def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: int = 0,
    count: int | None = None,
    cached: Any = _BY_CONF,
) -> Any:
    """Give the tasks of a group that have run; None where there are none. See `result_group`."""
    if _is_cached(cached):
        return fetch_group_cached(group_id, failures, wait, count)
    return _saved_group(Task.get_task_group, group_id, failures, wait, count)


def fetch_group_cached(
    group_id: str,
    failures: bool = True,
    wait: int = 0,
    count: int | None = None,
    broker: Broker | None = None,
) -> Any:
    """Give the tasks of a group from the cache; see `result_group`."""
    tasks = _cached_group(group_id, failures, wait, count, broker)
    return None if tasks is None else [saving.row_of(task) for task in tasks]


def count_group(group_id: str, failures: bool = False, cached: Any = _BY_CONF) -> int | None:
    """Count the tasks of a group that were kept, or only those that failed.

    Args:
        group_id: the group.
        failures: whether to count only those.
        cached: whether to look into the cache; there a group that is not known gives None.
    """
    if _is_cached(cached):
        return count_group_cached(group_id, failures)
    return Task.get_group_count(group_id, failures)


def count_group_cached(
    group_id: str, failures: bool = False, broker: Broker | None = None
) -> int | None:
    """Count the tasks of a group in the cache; None for one that is not known."""
    keys = _keys(group_id, broker or get_broker())
    if not keys:
        return None
    if not failures:
        return len(keys)
    tasks = _tasks(keys, broker or get_broker())
    return sum(1 for task in tasks if not task["success"])


def delete_group(group_id: str, tasks: bool = False, cached: Any = _BY_CONF) -> Any:
    """Take the label from the tasks of a group; or delete them.

    Args:
        group_id: the group.
        tasks: whether to delete them.
        cached: whether to do that in the cache, where they are deleted in any case.

    Returns:
        How many had the label; of a deletion what Django gives for one; nothing for the cache.
    """
    if _is_cached(cached):
        return delete_group_cached(group_id)
    return Task.delete_group(group_id, tasks)


def delete_group_cached(group_id: str, broker: Broker | None = None) -> None:
    """Delete the tasks of a group from the cache."""
    broker = broker or get_broker()
    keys = _keys(group_id, broker)
    broker.cache.delete_many([*keys, _index(group_id, broker)])


def delete_cached(task_id: str, broker: Broker | None = None) -> bool:
    """Delete a task from the cache; gives whether there was one."""
    broker = broker or get_broker()
    return bool(broker.cache.delete(f"{broker.list_key}:{task_id}"))


def queue_size(broker: Broker | None = None) -> int:
    """Count the tasks of a queue that may run and do not yet."""
    return int((broker or get_broker()).queue_size())


def _is_cached(cached: Any) -> bool:
    return bool(Conf.CACHED if cached is _BY_CONF else cached)


def _group(
    group_id: str,
    look: Callable[[], Any],
    size: Callable[[], int | None],
    wait: int,
    count: int | None,
) -> Any:
    if count:
        waiting.for_group(lambda: (size() or 0) >= count or None, group_id, wait or -1)
        return look()
    return waiting.for_group(look, group_id, wait)


def _saved_group(
    rows: Callable[[str, bool], Any], group_id: str, failures: bool, wait: int, count: int | None
) -> Any:
    return _group(
        group_id,
        lambda: rows(group_id, failures) or None,
        lambda: Task.get_group_count(group_id),
        wait,
        count,
    )


def _cached(task_id: str, wait: int, broker: Broker | None) -> dict[str, Any] | None:
    found = broker or get_broker()
    key = f"{found.list_key}:{task_id}"
    return waiting.for_task(lambda: saving.opened(found.cache.get(key)), task_id, wait)


def _cached_group(
    group_id: str, failures: bool, wait: int, count: int | None, broker: Broker | None
) -> list[dict[str, Any]] | None:
    found = broker or get_broker()

    def look() -> list[dict[str, Any]] | None:
        keys = _keys(group_id, found)
        return _tasks(keys, found) if keys else None

    tasks: list[dict[str, Any]] | None = _group(
        group_id, look, lambda: count_group_cached(group_id, broker=found), wait, count
    )
    return tasks and [task for task in tasks if task["success"] or failures]


def _index(group_id: str, broker: Broker) -> str:
    return f"{broker.list_key}:{group_id}:keys"


def _keys(group_id: str, broker: Broker) -> list[str]:
    return list(broker.cache.get(_index(group_id, broker)) or ())


def _tasks(keys: list[str], broker: Broker) -> list[dict[str, Any]]:
    """Read the tasks of a group, in the order in which they ended; without those that expired."""
    found = broker.cache.get_many(keys)
    return [task for key in keys if (task := saving.opened(found.get(key))) is not None]
