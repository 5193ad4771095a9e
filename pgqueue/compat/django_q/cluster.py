"""A cluster in a program: an ordinary worker that is started and stopped from Python."""

import atexit
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from multiprocessing.synchronize import Event
from types import FrameType
from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext as _

from pgqueue.compat import here
from pgqueue.compat.django_q import launching
from pgqueue.compat.django_q.conf import Conf, logger
from pgqueue.compat.django_q.humanhash import humanize
from pgqueue.compat.django_q.monitor import monitor, save_cached, save_task
from pgqueue.compat.django_q.pusher import pusher
from pgqueue.compat.django_q.scheduler import scheduler
from pgqueue.compat.django_q.status import Stat, Status
from pgqueue.compat.django_q.worker import worker

__all__ = [
    "Cluster",
    "Sentinel",
    "Stat",
    "Status",
    "get_mp_context",
    "monitor",
    "pusher",
    "save_cached",
    "save_task",
    "scheduler",
    "worker",
]

#: Seconds between two looks whether a worker has started.
_LOOK: Final = 0.1


def get_mp_context() -> Any:
    """Give the kind of processes that share what the program has set up, where there is one."""
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    return multiprocessing.get_context(kind)


class WorkerProcess:
    """A worker that this process has started, as one of `multiprocessing`.

    Args:
        words: of its command line.
        environment: its variables.
    """

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(words, env=environment)
        self.pid = self._process.pid
        self.name = f"Process-{self.pid}"

    @property
    def exitcode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return

    def terminate(self) -> None:
        """Ask it to stop; what runs may end."""
        if self.is_alive():
            self._process.terminate()


class Cluster:
    """Start a worker for one queue of this project, and stop it.

    Args:
        broker: whose queue it serves; None for that of Q_CLUSTER.
        burst: let it end by itself when nothing is ready any more.
    """

    def __init__(self, broker: Any = None, *, burst: bool = False) -> None:
        self.broker = broker
        self.sentinel: WorkerProcess | None = None
        self.stop_event: Event | None = None
        self.start_event: Event | None = None
        self.pid = os.getpid()
        self.cluster_id = uuid.uuid4()
        self.host = socket.gethostname()
        self.timeout: float | None = None
        self._burst = burst
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.sig_handler)
            signal.signal(signal.SIGINT, self.sig_handler)

    def start(self) -> int:
        """Start it, and wait until it can take tasks.

        Returns:
            The id of this process.

        Raises:
            RuntimeError: it ended at once; its log says why.
        """
        self.stop_event = multiprocessing.Event()
        self.start_event = multiprocessing.Event()
        words = launching.words(queue=getattr(self.broker, "list_key", None), burst=self._burst)
        name = f"{self.host}:{self.pid} {self.cluster_id.hex}"
        self.sentinel = WorkerProcess(
            [sys.executable, "-m", "pgqueue", "worker", *words, "--name", name],
            launching.environment(),
        )
        atexit.register(self.sentinel.terminate)
        logger.info(_("Q Cluster %(name)s starting.") % {"name": self.name})
        while self.start_event is not None and not self._has_started():
            if not self.sentinel.is_alive():
                if self.sentinel.exitcode == 0:
                    break
                raise RuntimeError(
                    f"Q Cluster {self.name} failed to start: its worker ended with exit code "
                    f"{self.sentinel.exitcode}; its log says why"
                )
            time.sleep(_LOOK)
        if self.start_event is not None:
            self.start_event.set()
        return self.pid

    def stop(self) -> bool:
        """Stop it: what runs may end, what waits stays.

        Returns:
            False where it does not run.
        """
        if self.sentinel is None or self.stop_event is None or not self.sentinel.is_alive():
            return False
        logger.info(_("Q Cluster %(name)s stopping.") % {"name": self.name})
        self.stop_event.set()
        self.sentinel.terminate()
        self.sentinel.join()
        atexit.unregister(self.sentinel.terminate)
        logger.info(_("Q Cluster %(name)s has stopped.") % {"name": self.name})
        self.start_event = None
        self.stop_event = None
        return True

    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        """Stop it when this process is told to end."""
        self.stop()

    @property
    def stat(self) -> Status:
        """How it is."""
        if self.sentinel is not None:
            return Stat.get(pid=self.pid, cluster_id=self.cluster_id)
        return Status(pid=self.pid, cluster_id=self.cluster_id)

    @property
    def name(self) -> str:
        """Its name for people."""
        return humanize(self.cluster_id.hex)

    @property
    def is_starting(self) -> bool:
        """Whether it cannot take tasks yet."""
        return self._is_up() and not self._has("start_event")

    @property
    def is_running(self) -> bool:
        """Whether it has started."""
        return self._is_up() and self._has("start_event")

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self.is_running and self._has("stop_event")

    @property
    def has_stopped(self) -> bool:
        """Whether it was started, and runs no more."""
        return self.sentinel is not None and not self._is_up()

    def _is_up(self) -> bool:
        return self.start_event is not None and self.stop_event is not None

    def _has(self, event: str) -> bool:
        found: Event | None = getattr(self, event)
        return found is not None and found.is_set()

    def _has_started(self) -> bool:
        return isinstance(self.stat, Stat)


class Sentinel:
    """Run the tasks of one queue in this process and thread, one after the other.

    For tests and small programs; a `Cluster` starts processes of its own.

    Args:
        stop_event: set to stop; what is ready then is run first.
        start_event: is set when it has started.
        cluster_id: its id.
        broker: whose queue it serves; None for that of Q_CLUSTER.
        timeout: not needed: tasks have their own.
        start: whether to start at once, which returns when it has stopped.
    """

    def __init__(
        self,
        stop_event: Any,
        start_event: Any,
        cluster_id: Any,
        broker: Any = None,
        timeout: float | None = None,
        start: bool = True,
    ) -> None:
        self.stop_event = stop_event
        self.start_event = start_event
        self.cluster_id = cluster_id
        self.broker = broker
        self.timeout = timeout or Conf.TIMEOUT
        self.pid = os.getpid()
        self.parent_pid = os.getppid()
        self.name = multiprocessing.current_process().name
        self.reincarnations = 0
        self.tob = timezone.now()
        self.pool: list[Any] = []
        self.pool_size = 1
        self._working = False
        if start:
            self.start()

    def queue_name(self) -> str:
        """Give the queue that it serves."""
        return str(getattr(self.broker, "list_key", None) or Conf.CLUSTER_NAME)

    def start(self) -> None:
        """Run tasks until told to stop."""
        self.start_event.set()
        while True:
            self._working = True
            here.run([self.queue_name()])
            self._working = False
            if self.stop_event.wait(Conf.GUARD_CYCLE):
                return

    def status(self) -> Any:
        """Say what it does."""
        if not self.start_event.is_set():
            return Conf.STARTING
        if self.stop_event.is_set():
            return Conf.STOPPING if self._working else Conf.STOPPED
        return Conf.WORKING if self._working else Conf.IDLE

    def stop(self) -> None:
        """Stop when what is ready has run."""
        self.stop_event.set()
