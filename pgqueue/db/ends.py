"""Hear of the ends of jobs: one listening connection for all threads of a process that wait.

It is opened by the first who waits and closed a little after the last has gone. What it tells is a
hint: whoever is woken looks, and whoever is not looks now and then all the same, so that a pooler
or a connection that is lost costs time and no result.
"""

import contextlib
import os
import select
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Final

import psycopg
from psycopg import pq

from pgqueue.core.errors import PgQueueError
from pgqueue.db import connections

CHANNEL: Final = "pgqueue_finished"
#: Seconds for which the connection is kept when nobody waits.
LINGER: Final = 10.0
#: The same where a framework lends its connections. Its tests drop their database at the end, and
#: DROP DATABASE waits for five seconds at most.
LINGER_LENT: Final = 0.5
#: Seconds a waiter gives the connection to come to be; then it looks now and then.
_OPENING: Final = 5.0
#: Seconds between two attempts to connect.
_AGAIN: Final = 1.0


class Watchers:
    """Who waits for which ids, and the event each is woken by."""

    def __init__(self) -> None:
        self._of_id: dict[int, list[threading.Event]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._of_id)

    def add(self, ids: Collection[int], event: threading.Event) -> None:
        """Let an event be set when one of these is told."""
        with self._lock:
            for one in ids:
                self._of_id.setdefault(one, []).append(event)

    def remove(self, ids: Collection[int], event: threading.Event) -> None:
        """Forget an event."""
        with self._lock:
            for one in ids:
                events = self._of_id[one]
                events.remove(event)
                if not events:
                    del self._of_id[one]

    def tell(self, payload: bytes) -> None:
        """Wake whoever waits for one of the ids of a notification."""
        with self._lock:
            for one in ids_of(payload):
                for event in self._of_id.get(one, ()):
                    event.set()

    def wake_all(self) -> None:
        """Wake everybody: something may have been missed."""
        with self._lock:
            for events in self._of_id.values():
                for event in events:
                    event.set()


class Ends:
    """Wake threads when jobs end.

    Args:
        where: gives the DSN of where to listen.
        lent: whether all other calls go over the connections of a framework.
    """

    def __init__(self, where: Callable[[], str], *, lent: bool = False) -> None:
        self._where = where
        self._lent = lent
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._watchers = Watchers()
        self._lock = threading.Lock()
        self._listening = threading.Event()
        self._thread: threading.Thread | None = None
        self._wake: int | None = None

    @contextlib.contextmanager
    def watch(self, ids: Collection[int]) -> Iterator[threading.Event]:
        """Give an event that is set when one of these ids is told, or when telling may have failed.

        The session listens by then, unless it cannot.
        """
        if self._pid != os.getpid():
            # Forked: the thread is not here, and the connection is not ours.
            self._begin()
        event = threading.Event()
        self._watchers.add(ids, event)
        try:
            with self._lock:
                if self._thread is None:
                    self._listening.clear()
                    ours, theirs = os.pipe()
                    self._wake = theirs
                    self._thread = threading.Thread(
                        target=self._run, args=(ours,), name="pgqueue-ends", daemon=True
                    )
                    self._thread.start()
            self._listening.wait(_OPENING)
            yield event
        finally:
            self._watchers.remove(ids, event)

    def close(self) -> None:
        """Close the connection; whoever waits looks now and then."""
        if self._pid != os.getpid():
            return
        with self._lock:
            thread, wake = self._thread, self._wake
            self._thread = self._wake = None
        if wake is not None:
            os.close(wake)
        if thread is not None:
            thread.join(_OPENING)

    def _run(self, stop: int) -> None:
        try:
            while not self._listen(stop):
                if _is_readable([stop], _AGAIN):
                    return
        finally:
            self._listening.set()
            os.close(stop)

    def _listen(self, stop: int) -> bool:
        """Listen until told to stop, or until nobody waits any more; gives whether that is so."""
        try:
            with connections.connect(self._where()) as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                self._listening.set()
                self._watchers.wake_all()
                idle = False
                linger = LINGER_LENT if self._lent else LINGER
                while True:
                    ready = _is_readable([stop, connection.fileno()], linger)
                    if stop in ready:
                        return True
                    for payload in notified(connection.pgconn):
                        self._watchers.tell(payload)
                    idle, was_idle = not ready and not len(self._watchers), idle
                    if idle and was_idle and self._leave():
                        return True
        except (psycopg.Error, PgQueueError):
            # Whoever waits meanwhile looks now and then; and at once when it is back.
            self._listening.set()
            return not len(self._watchers) and self._leave()

    def _leave(self) -> bool:
        """End this thread, unless somebody has come."""
        with self._lock:
            if len(self._watchers):
                return False
            if self._wake is not None:
                os.close(self._wake)
            self._thread = self._wake = None
            return True


def notified(pgconn: "pq.abc.PGconn") -> Iterator[bytes]:
    """Read what has arrived on a listening connection; gives the payloads of the channel.

    Raises:
        psycopg.OperationalError: the connection is gone.
    """
    pgconn.consume_input()
    while (notify := pgconn.notifies()) is not None:
        if notify.relname == CHANNEL.encode():
            yield notify.extra


def _is_readable(fds: list[int], seconds: float) -> list[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _event in poll.poll(1000 * seconds)]


def ids_of(payload: bytes) -> list[int]:
    """Read the ids of a payload; what a stranger has notified is passed over."""
    parts = payload.split(b",")
    return [int(part) for part in parts if part.removeprefix(b"-").isdigit() and len(part) < 21]
