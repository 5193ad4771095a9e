"""Brokers: how the old queue reached what held its tasks. Here that is always PostgreSQL.

Settings that name Redis, SQS and others are passed over, but for a class of the project's own in
`broker_class`.
"""

import importlib
from typing import Any

from django.core.cache import InvalidCacheBackendError, caches

from pgqueue.compat.django_q.conf import Conf

#: Classes of the old library, which are not here.
_OLD = ("django_q.brokers.", "pgqueue.compat.django_q.brokers.")


class Broker:
    """A queue of tasks, and the cache beside it; what it does is up to its subclasses.

    Args:
        list_key: the name of the queue; None for that of the cluster.
    """

    def __init__(self, list_key: str | None = None) -> None:
        self.list_key: str = list_key or Conf.CLUSTER_NAME
        self.connection = self.get_connection(self.list_key)
        self.cache = self.get_cache()
        self._info: str | None = None

    def __getstate__(self) -> Any:
        return self.list_key, self._info

    def __setstate__(self, state: Any) -> None:
        self.list_key, self._info = state
        self.connection = self.get_connection(self.list_key)
        self.cache = self.get_cache()

    def enqueue(self, task: str) -> Any:
        """Take in a package; gives what it is known by in the queue."""

    def dequeue(self) -> Any:
        """Give packages, each with what it is acknowledged by; None where there are none."""

    def queue_size(self) -> Any:
        """Count the tasks that may be taken."""

    def lock_size(self) -> Any:
        """Count the tasks that were taken and not acknowledged."""

    def delete_queue(self) -> Any:
        """Delete the queue."""

    def purge_queue(self) -> Any:
        """Delete what is in the queue."""

    def delete(self, task_id: Any) -> Any:
        """Delete a task from the queue."""

    def acknowledge(self, task_id: Any) -> Any:
        """Take a task that was done from the queue."""

    def fail(self, task_id: Any) -> Any:
        """Take a task that can never be done from the queue."""

    def ping(self) -> Any:
        """Tell whether the queue can be reached."""

    def info(self) -> Any:
        """Say what kind of queue it is."""
        return self._info

    def set_stat(self, key: str, value: str, timeout: int) -> Any:
        """Keep the state of a cluster in the cache.

        Args:
            key: of the cluster.
            value: its state.
            timeout: seconds.
        """
        if not self.cache:
            return None
        keys = self.cache.get(Conf.Q_STAT) or []
        if key not in keys:
            self.cache.set(Conf.Q_STAT, [*keys, key])
        return self.cache.set(key, value, timeout)

    def get_stat(self, key: str) -> Any:
        """Give the state of a cluster; None where there is none."""
        return self.cache.get(key) if self.cache else None

    def get_stats(self, pattern: str) -> Any:
        """Give the states of all clusters; None without a cache, or where there never was one.

        Args:
            pattern: passed over: the cache keeps a list.
        """
        if not self.cache:
            return None
        keys = self.cache.get(Conf.Q_STAT)
        if not keys:
            return None
        found = {key: value for key in keys if (value := self.cache.get(key))}
        if len(found) < len(keys):
            self.cache.set(Conf.Q_STAT, list(found))
        return list(found.values())

    @staticmethod
    def get_cache() -> Any:
        """Give the cache of the settings; None where there is none of that name."""
        try:
            return caches[Conf.CACHE]
        except InvalidCacheBackendError:
            return None

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """Give what the queue is reached by.

        Args:
            list_key: the name of the queue; None for that of the cluster.
        """
        return 0


def get_broker(list_key: str | None = None) -> Broker:
    """Give the broker of a queue.

    Args:
        list_key: the name of the queue; None for that of the cluster.

    Raises:
        ImportError: the class that `Q_CLUSTER["broker_class"]` names is not there.
    """
    path = Conf.BROKER_CLASS
    if path and not str(path).startswith(_OLD):
        module, _, name = path.rpartition(".")
        made: Broker = getattr(importlib.import_module(module), name)(list_key=list_key)
        return made
    orm = importlib.import_module("pgqueue.compat.django_q.brokers.orm")
    own: Broker = orm.ORM(list_key=list_key)
    return own
