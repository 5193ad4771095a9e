"""What the supervisor does when a signal comes, and where it is when somebody asks."""

import asyncio
import io
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping

log = logging.getLogger("pgqueue.worker")

#: Signals that mean nothing to a worker and would end or stop it.
_IGNORED = (signal.SIGTTIN, signal.SIGTTOU, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
_TOLD = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip


class Signals:
    """Call these when their signal comes, until `remove`; in the event loop, one after the other.

    Args:
        actions: by number of the signal.
    """

    def __init__(self, actions: Mapping[signal.Signals, Callable[[], None]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._actions = dict.fromkeys(_IGNORED, _do_nothing) | dict(actions)
        for number, action in self._actions.items():
            self._loop.add_signal_handler(number, action)

    def remove(self) -> None:
        """Let signals do again what they did before."""
        for number in self._actions:
            self._loop.remove_signal_handler(number)


def _do_nothing() -> None:
    pass


def log_stacks() -> None:
    """Write into the log what every asyncio task and every thread of this process is doing."""
    said = io.StringIO()
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        task.print_stack(file=said)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for number, frame in sys._current_frames().items():
        said.write(f"Thread {names.get(number, number)}:\n")
        traceback.print_stack(frame, file=said)
    log.warning("stacks of the supervisor, as asked for by SIGUSR1:\n%s", said.getvalue())


def deafen() -> None:
    """Let no signal disturb the last moments of this process, which are not worth a word."""
    for number in (*_IGNORED, *_TOLD):
        signal.signal(number, signal.SIG_IGN)
