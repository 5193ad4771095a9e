"""One postmaster under its keeper, seen from the process that started both."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from pgqueue.core.errors import ConfigurationError
from pgqueue.db.embedded import keeper
from pgqueue.db.embedded.installation import clean_environment

_PATIENCE = 60.0
_LOOK = 0.02
# Keepers of servers that others still use: held, because Python warns of a child not waited for.
_LEFT_RUNNING: list["subprocess.Popen[bytes]"] = []


class KeptProcess:
    """A postmaster that a keeper of ours runs.

    Attributes:
        pid: of the postmaster; None when it has exited, or not started yet.
    """

    def __init__(self, spec: keeper.Spec, log: Path) -> None:
        """Start the keeper, which starts the postmaster.

        Args:
            spec: what the keeper is told.
            log: file that the output of both goes to.
        """
        self.pid: int | None = None
        self._has_exited = False
        with open(log, "ab") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, keeper.to_argument(spec)],
                env=clean_environment(),  # the server's, too
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in our terminal must not reach the server
            )

    def exited(self, timeout: float) -> bool:
        """Take in what the keeper says; return whether the postmaster has exited by then."""
        if self._has_exited or self._keeper.stdout is None or self._keeper.stdout.closed:
            return True
        deadline = time.monotonic() + timeout
        while select.select([self._keeper.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            # One line is one write, far below the size up to which pipes keep writes whole.
            said = self._keeper.stdout.read(4096) or b"exited"
            for line in said.splitlines():
                word, _, value = line.partition(b" ")
                self.pid = int(value) if word == b"started" else None
            if self.pid is None:
                self._has_exited = True
                break
        return self._has_exited

    def signal(self, number: signal.Signals) -> None:
        """Send the postmaster a signal and wait for its end."""
        if self.exited(0) or self.pid is None:
            return
        os.kill(self.pid, number)
        if not self.exited(_PATIENCE):
            raise ConfigurationError(
                f"the private server (process {self.pid}) did not stop within "
                f"{_PATIENCE:.0f} s; stop it in another mode, or end its clients"
            )

    def wait(self) -> None:
        """Wait until the keeper has cleaned up, as it does when the lifeline is closed."""
        try:
            self._keeper.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        self.end()

    def end(self) -> None:
        """End a keeper that has nothing left to keep, without letting it clean up."""
        self._keeper.kill()
        self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()

    def leave(self) -> None:
        """Let keeper and postmaster run on without us."""
        _LEFT_RUNNING.append(self._keeper)


def wait_until_gone(pid: int) -> bool:
    """Wait for the end of a process that is not our child; return whether it came."""
    deadline = time.monotonic() + _PATIENCE
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True


def is_alive(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
