"""The broker over the queue of pgqueue: its tasks are jobs."""

import datetime as dt
from typing import Any

from django.db import connections
from django.utils import timezone

from pgqueue.compat.django_q.brokers import Broker
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.models import OrmQ
from pgqueue.django import conf

_SIZE = "SELECT count(*) FROM pgqueue.django_q_queue WHERE key = %s AND {}"


class ORM(Broker):
    """A queue of tasks in PostgreSQL.

    Its methods are for programs that look at the queue, or empty it; a worker takes jobs by itself.
    """

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """Give the tasks that wait or run, of all queues."""
        return OrmQ.objects.all()

    def timeout(self, task: Any) -> dt.datetime:
        """Tell until when a task that was taken now is locked."""
        now: dt.datetime = timezone.now()
        return now + dt.timedelta(seconds=Conf.at(self.list_key).RETRY)

    def queue_size(self) -> int:
        """Count the tasks that may be taken; not those that run, come later or wait for others."""
        return self._count("state = 'ready'")

    def lock_size(self) -> int:
        """Count the tasks that run, or may be taken later."""
        return self._count("state <> 'ready'")

    def purge_queue(self) -> Any:
        """Delete the tasks that wait; gives how many."""
        return self.get_connection().filter(key=self.list_key).delete()

    def delete_queue(self) -> Any:
        """Delete the tasks that wait; gives how many."""
        return self.purge_queue()

    def ping(self) -> bool:
        """Tell that the queue can be reached."""
        with connections[conf.database()].cursor() as cursor:
            cursor.execute("SELECT 1")
        return True

    def info(self) -> str:
        """Say what kind of queue it is."""
        if not self._info:
            self._info = f"ORM {conf.database()}"
        return self._info

    def enqueue(self, task: str) -> int:
        """Take in a package; gives the number of its job."""
        made = self.get_connection().create(
            key=self.list_key or Conf.CLUSTER_NAME, payload=task, lock=timezone.now()
        )
        return int(made.pk)

    def dequeue(self) -> list[tuple[int, str]] | None:
        """Take packages, which are locked for `Conf.RETRY` seconds then; None where there are none.

        For programs of one's own that run tasks; a worker does not need it.
        """
        ready = self.get_connection().filter(key=self.list_key, state="ready").order_by("pk")
        taken = []
        for task in ready[: Conf.BULK]:
            mine = self.get_connection().filter(pk=task.pk, lock=task.lock)
            if mine.update(lock=self.timeout(task)):
                taken.append((int(task.pk), str(task.payload)))
        return taken or None

    def delete(self, task_id: Any) -> None:
        """Delete a task from the queue, unless a worker runs it."""
        self.get_connection().filter(pk=task_id).delete()

    def acknowledge(self, task_id: Any) -> None:
        """Take a task that was done from the queue."""
        self.delete(task_id)

    def fail(self, task_id: Any) -> None:
        """Take a task that can never be done from the queue."""
        self.delete(task_id)

    def _count(self, condition: str) -> int:
        with connections[conf.database()].cursor() as cursor:
            cursor.execute(_SIZE.format(condition), [self.list_key])
            return int(cursor.fetchone()[0])
