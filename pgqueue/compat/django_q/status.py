"""The clusters that run: each is a worker that takes jobs from a queue of this project."""

import socket
import uuid
from typing import Any, Final

from django.utils import timezone

from pgqueue.compat.django_q.conf import Conf, given
from pgqueue.django.models import WorkerOverview

#: Seconds in which a worker without processes is still starting.
_STARTS: Final = 5.0


class Status:
    """A cluster that does not run.

    Args:
        pid: of its process.
        cluster_id: its id.
    """

    def __init__(self, pid: int | None, cluster_id: Any) -> None:
        self.workers: list[int] = []
        self.tob: Any = None
        self.reincarnations = 0
        self.pid = pid
        self.cluster_id = cluster_id
        self.sentinel = 0
        self.status = Conf.STOPPED
        self.done_q_size = 0
        self.host = socket.gethostname()
        self.monitor = 0
        self.task_q_size = 0
        self.pusher = 0
        self.timestamp = timezone.now()


class Stat(Status):
    """A cluster that runs.

    One process of a worker takes jobs, watches the others and writes results down, so `sentinel`,
    `pusher` and `monitor` are its id; `done_q_size` is always 0.

    Args:
        worker: a row of `pgqueue.worker_overview`, or a `Sentinel`.
    """

    def __init__(self, worker: Any) -> None:
        if not isinstance(worker, WorkerOverview):
            super().__init__(worker.parent_pid or worker.pid, worker.cluster_id)
            self.tob = worker.tob
            self.reincarnations = worker.reincarnations
            self.sentinel = self.pusher = self.monitor = worker.pid
            self.status = worker.status()
            self.worker_id, self.queues = 0, [worker.queue_name()]
            return
        super().__init__(worker.pid, cluster_id_of(worker.pk, worker.name))
        self.worker_id = int(worker.pk)
        self.queues = list(worker.queues)
        self.host = worker.hostname
        self.tob = worker.started_at
        self.reincarnations = worker.replaced
        self.sentinel = self.pusher = self.monitor = worker.pid
        self.workers = list(worker.children)
        self.task_q_size = worker.running
        self.status = Conf.WORKING if worker.running else Conf.IDLE
        if not worker.children and self.uptime() < _STARTS:
            self.status = Conf.STARTING
        self.timestamp = worker.heartbeat_at

    def uptime(self) -> float:
        """Give the seconds since its start."""
        return float((timezone.now() - self.tob).total_seconds())

    @property
    def key(self) -> str:
        """Its name among the others."""
        return self.get_key(self.cluster_id)

    @staticmethod
    def get_key(cluster_id: Any) -> str:
        """Give the name that a cluster has among others."""
        return f"{Conf.Q_STAT}:{cluster_id}"

    def save(self) -> None:
        """Do nothing: its worker tells of itself."""

    def empty_queues(self) -> bool:
        """Tell whether it holds no task."""
        return self.done_q_size + self.task_q_size == 0

    @staticmethod
    def get(pid: Any = None, cluster_id: Any = None, broker: Any = None) -> Status:
        """Find a cluster.

        Args:
            pid: of its process; alone, it may be the id of the cluster, too.
            cluster_id: its id, of `Cluster.cluster_id` or another `Stat`; the process's id goes,
                too.
            broker: not needed.

        Returns:
            The `Stat`; a `Status`, stopped, where no such cluster runs.
        """
        wanted = cluster_id if cluster_id is not None else pid
        for stat in _all():
            if _is_same(wanted, stat):
                return stat
        return Status(pid, wanted)

    @staticmethod
    def get_all(broker: Any = None) -> list["Stat"]:
        """Give the clusters that run now, of this project's queues, the oldest first."""
        ours = {"*", *names()}
        return [stat for stat in _all() if not ours.isdisjoint(stat.queues)]


def _all() -> list[Stat]:
    """Give the workers of all queues."""
    return [Stat(worker) for worker in WorkerOverview.objects.filter(lost=False).order_by("worker")]


def names() -> set[str]:
    """Give the names of the clusters of Q_CLUSTER, which are those of their queues."""
    others = given().get("ALT_CLUSTERS") or {}
    return {str(Conf.PREFIX), str(Conf.CLUSTER_NAME), *map(str, others)}


def cluster_id_of(worker_id: int, name: str) -> uuid.UUID:
    """Give the id of the cluster that a worker is: the one in its name, else its number as one."""
    try:
        return uuid.UUID(name.rpartition(" ")[2])
    except ValueError:
        return uuid.UUID(int=worker_id)


def _is_same(wanted: Any, stat: Stat) -> bool:
    if isinstance(wanted, int):
        return wanted in (stat.pid, stat.worker_id)
    return str(wanted).replace("-", "") == str(stat.cluster_id).replace("-", "")
