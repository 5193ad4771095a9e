"""What is looked after between two jobs of a process, so that none finds what another left behind.

After each job a few cheap looks (about a microsecond and a half) compare the process with what it
was before there were any jobs; all there is to compare is looked at after a job that took a
while or failed, and every few milliseconds. What has changed is set back, and said in the log with
the job and its task, once for each task and kind.

The process belongs to all its slots: while another slot runs a job, a change may be that job's, so
it stays until a job ends alone.
"""

import _thread
import contextlib
import fcntl
import logging
import os
import sys
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, NoReturn, Protocol

from pgqueue.db import leftovers
from pgqueue.worker import traits

log = logging.getLogger("pgqueue.worker")

#: Microseconds from which a job is long enough to be worth a look at everything.
_LONG: Final = 500
#: Seconds between two looks at everything while jobs are short.
_EVERY: Final = 0.005
#: Threads left behind, above which a process wants to be replaced.
MOST_THREADS: Final = 32
#: Exit code of a process whose descriptors a task has closed.
CLOSED: Final = 71
#: With what the names of the threads begin that are the worker's own.
OUR_THREADS: Final = "pgqueue-"
_MOST_SAID: Final = 10_000

#: The process that this one was when it began to run jobs, and the one that it is.
_home = _here = os.getpid()


def _note_fork() -> None:
    global _here
    _here = os.getpid()


os.register_at_fork(after_in_child=_note_fork)


def settle_in() -> None:
    """Say that this process is the one that runs jobs."""
    global _home
    _home = _here


def end_copies() -> None:
    """End this process at once if it is a copy that a task has forked and let return."""
    if _here != _home:
        os._exit(0)


def end_cut_off() -> NoReturn:
    """End this process, whose descriptors a task has closed or replaced: no outcome gets out."""
    os._exit(CLOSED)


class Hygiene:
    """Look after one process that runs jobs. Made in its main thread.

    Args:
        connection: descriptor of the socket to the supervisor.
        slots: how many jobs may run at once.
        alone: tells whether no slot but the given one runs a job.
        on_worn: called once, when this process has been left too many threads to go on.
    """

    def __init__(
        self,
        connection: int,
        slots: int,
        alone: Callable[[int], bool],
        on_worn: Callable[[], None],
    ) -> None:
        settle_in()
        self._alone = alone
        self._on_worn = on_worn
        self._traits = traits.of_this_process()
        self._stdout, self._stderr = _Stream("stdout", 1), _Stream("stderr", 2)
        self._connection = connection
        self._socket = os.fstat(connection).st_ino
        os.set_inheritable(connection, False)
        self._seems_clean = self._make_quick_look(slots)
        self._threads = 0
        self._left: set[threading.Thread] = set()
        self._looked_at = 0.0
        self._said: set[tuple[str, str]] = set()
        self._worn = False

    def after(self, slot: int, job_id: int, task: str, us: int, failed: bool) -> None:
        """Look at what a job has left behind, and set it back; in the thread of its slot.

        Args:
            slot: number of the slot; 0 is the main thread.
            us: microseconds that the job took.
            failed: whether it ended otherwise than by returning.
        """
        now = monotonic()
        if us < _LONG and not failed and now - self._looked_at < _EVERY and self._seems_clean():
            return
        try:
            if self._alone(slot):
                self._look(slot, job_id, task)
        except Exception:
            # Nothing of this may cost a job its outcome, nor may a handler of the log.
            with contextlib.suppress(Exception):
                log.exception("could not look after what job %d left behind", job_id)
        self._looked_at = now

    def _make_quick_look(self, slots: int) -> Callable[[], bool]:
        """Make what tells whether nothing seems to have changed; names are bound once, for speed.

        The umask can only be read by setting it, so it waits for a longer look if there are others
        who may just want it to be something else.
        """
        environ, environment = os.environ, traits.environment()
        saved = {trait.name: trait.value for trait in self._traits}
        variables, path = saved["the environment"], saved["sys.path"]
        directory, limit = saved["the working directory"], saved["the recursion limit"]
        wanted = saved["the umask"]
        getcwd, getrecursionlimit, umask = os.getcwd, sys.getrecursionlimit, os.umask
        count, modules, out, err = _thread._count, sys.modules, self._stdout, self._stderr
        is_inheritable, connection = os.get_inheritable, self._connection
        single = slots == 1

        def seems_clean() -> bool:
            try:
                # The second only to learn whether there is such a descriptor at all.
                if getcwd() != directory or is_inheritable(connection):
                    return False
            except OSError:
                return False
            if single:
                mask = umask(wanted)
                if mask != wanted:
                    umask(mask)
                    return False
            return (
                environment == variables
                and os.environ is environ
                and sys.path == path
                and getrecursionlimit() == limit
                and sys.stdout is out.stream
                and sys.stderr is err.stream
                and count() == self._threads
                and not (leftovers.seen and leftovers.are_open())
                and "django.db" not in modules
            )

        return seems_clean

    def _look(self, slot: int, job_id: int, task: str) -> None:
        def say(kind: str, what: str, *values: object) -> None:
            if (task, kind) not in self._said and len(self._said) < _MOST_SAID:
                self._said.add((task, kind))
                log.warning("job %d (%s) " + what, job_id, task, *values)

        self._look_at_connection(say)
        for trait in self._traits:
            if trait.main_only and slot:
                continue
            try:
                if trait.read() != trait.value:
                    trait.restore(trait.value)
                    say(trait.name, "left %s changed; it is as before again", trait.name)
            except Exception as error:
                say(trait.name, "left %s in a bad way: %s", trait.name, error)
        for stream in (self._stdout, self._stderr):
            if stream.restore():
                say(stream.name, "replaced or closed %s; it is as before again", stream.name)
        ended = leftovers.roll_back() + _end_django_transactions()
        if ended:
            say("transaction", "left a transaction open; it was rolled back")
        self._look_at_threads(say)

    def _look_at_connection(self, say: "_Say") -> None:
        try:
            if os.fstat(self._connection).st_ino == self._socket:
                return
        except OSError:
            pass
        # Its outcome cannot be told any more. It counts as a crash, since its slot is still taken.
        say("descriptors", "closed descriptors that are not its own; its process ends")
        end_cut_off()

    def _look_at_threads(self, say: "_Say") -> None:
        self._threads = _thread._count()
        left = {
            thread
            for thread in threading.enumerate()
            if not thread.daemon
            and thread is not threading.main_thread()
            and not thread.name.startswith(OUR_THREADS)
        }
        new = len(left - self._left)
        self._left = left
        if new:
            say("threads", "left %d threads running; this process has %d of them", new, len(left))
        if len(left) > MOST_THREADS and not self._worn:
            self._worn = True
            log.warning("child %d wants to be replaced: tasks left %d threads", _here, len(left))
            self._on_worn()


class _Say(Protocol):
    def __call__(self, kind: str, what: str, *values: object) -> None: ...


class _Stream:
    """Standard output or standard error, and a copy of its descriptor."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.stream = getattr(sys, name)
        self._fd = fd
        self._copy = -1
        with contextlib.suppress(OSError):
            self._copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)

    def restore(self) -> bool:
        """Set it back if it was replaced or closed; tells whether it was."""
        changed = getattr(sys, self.name) is not self.stream
        if changed:
            setattr(sys, self.name, self.stream)
        if self._copy < 0:
            return changed
        try:
            os.fstat(self._fd)
        except OSError:
            changed = True
            os.dup2(self._copy, self._fd)
        if self.stream is not None and getattr(self.stream, "closed", False):
            changed = True
            # Whatever a task has opened since may have got its number.
            os.dup2(self._copy, self._fd)
            self.stream = open(  # noqa: SIM115
                self._fd, "w", buffering=1, errors="backslashreplace", closefd=False
            )
            setattr(sys, self.name, self.stream)
        return changed


def _end_django_transactions() -> int:
    """Do what Django does after a request, where it is used; tells how many were left open."""
    connections = getattr(sys.modules.get("django.db"), "connections", None)
    if connections is None:
        return 0
    ended = 0
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block:
            ended += 1
            connection.in_atomic_block = False
            connection.run_on_commit = []
            connection.close()
        else:
            connection.close_if_unusable_or_obsolete()
    return ended
