"""Real worker processes, `python -m pgqueue worker`: started, killed and stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from pgqueue.core.errors import PgQueueError
from pgqueue.worker.zygote import die_with_parent

_APP = "pgqueue.demo.tasks"
_LOG_TAIL = 2000


@dataclass(slots=True, eq=False, kw_only=True)
class Worker:
    """One worker process of ours.

    Attributes:
        number: 1 for the first.
        worker_id: its id in `pgqueue.workers`; 0 until it has registered itself.
        killed: with SIGKILL, half-way.
    """

    number: int
    process: "subprocess.Popen[bytes]"
    log_file: IO[bytes]
    worker_id: int = 0
    killed: bool = False

    @property
    def pid(self) -> int:
        """Process id of its supervisor."""
        return self.process.pid

    def kill(self) -> None:
        """Kill it with SIGKILL and wait for its end; its children die with it."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def check(self) -> None:
        """Make sure that it runs, unless we killed it.

        Raises:
            PgQueueError: it has ended by itself, with what it said last.
        """
        code = self.process.poll()
        if code is None or self.killed:
            return
        self.log_file.seek(0)
        said = self.log_file.read().decode(errors="replace").strip()
        raise PgQueueError(
            f"worker {self.number} ended by itself with exit code {code}: "
            f"{said[-_LOG_TAIL:] or 'it said nothing'}"
        )

    def stop(self, patience: float) -> None:
        """Stop it: politely, and when it has not ended in so many seconds, at once."""
        if self.process.poll() is None and patience:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log_file.close()


def start_worker(number: int, dsn: str, processes: int) -> Worker:
    """Start a worker.

    Args:
        number: for people.
        dsn: where the queue is; handed over in the environment, which others cannot read.
        processes: how many children it has.
    """
    parent = os.getpid()
    # Without a name, so that nothing is left of it however we end.
    log_file = tempfile.TemporaryFile()  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "pgqueue", "worker", "--app", _APP, "--processes", str(processes)],
        env={**os.environ, "PGQUEUE_DSN": dsn},
        stdin=subprocess.DEVNULL,
        stdout=log_file,
        stderr=subprocess.STDOUT,
        # Ctrl-C in our terminal is for us; we stop the workers.
        start_new_session=True,
        # Killed ourselves, we leave no worker behind. We have one thread, so that running Python
        # between fork and exec is safe.
        preexec_fn=lambda: die_with_parent(parent),
    )
    return Worker(number=number, process=process, log_file=log_file)


def wait_until_registered(
    workers: list[Worker], ids_by_pid: Callable[[], dict[int, int]], patience: float = 30.0
) -> None:
    """Wait until every worker has made itself known in the database.

    Raises:
        PgQueueError: one has ended instead, or takes too long.
    """
    deadline = time.monotonic() + patience
    while True:
        known = ids_by_pid()
        for worker in workers:
            worker.worker_id = known.get(worker.pid, 0)
            worker.check()
        if all(worker.worker_id for worker in workers):
            return
        if time.monotonic() > deadline:
            raise PgQueueError(f"the workers did not start within {patience:.0f} s")
        time.sleep(0.02)
