"""Transactions that a task leaves open on a connection it has kept.

A connection in a global of the application serves one job after the other. Where one of them ends
in the middle of a transaction, its locks stay, and the next job finds "current transaction is
aborted". So the process that runs jobs remembers, by thread, which psycopg connections were opened,
and looks at them after each job. Connections of other threads and async ones are nobody's business
here: they may well be in the middle of something.
"""

import contextlib
import threading
import weakref
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

_Connection = psycopg.Connection[Any]

_CLEAN: Final = (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)

_opened: dict[int, list["weakref.ref[_Connection]"]] = {}

#: Whether any was opened, by any thread that is watched.
seen = False


def watch() -> None:
    """Remember from now on which connections the calling thread opens."""
    _opened.setdefault(threading.get_ident(), [])
    _see_new_ones()


def are_open() -> bool:
    """Tell whether `roll_back` has something to do, or to forget."""
    mine = _opened.get(threading.get_ident())
    if not mine:
        return False
    for reference in mine:
        connection = reference()
        if (
            connection is None
            or connection.closed
            or connection.pgconn.transaction_status != TransactionStatus.IDLE
        ):
            return True
    return False


def roll_back() -> int:
    """End the transactions that are open on connections of the calling thread; gives how many.

    A connection that was left in the middle of a statement is closed.
    """
    mine = _opened.get(threading.get_ident())
    if not mine:
        return 0
    count = 0
    for reference in list(mine):
        connection = reference()
        if connection is None or connection.closed:
            mine.remove(reference)
        elif (
            connection.pgconn.transaction_status not in _CLEAN and not connection.lock.locked()
        ):  # whoever holds the lock is at work on it in another thread
            count += 1
            _end(connection)
    return count


def _end(connection: _Connection) -> None:
    if connection.pgconn.transaction_status != TransactionStatus.ACTIVE:
        with contextlib.suppress(Exception):
            connection.rollback()
            return
    with contextlib.suppress(Exception):
        connection.close()


def _see_new_ones() -> None:
    original = psycopg.Connection.__init__
    if getattr(original, "_pgqueue", False):
        return

    def init(self: _Connection, *args: Any, **words: Any) -> None:
        original(self, *args, **words)
        mine = _opened.get(threading.get_ident())
        if mine is not None:
            mine.append(weakref.ref(self))
            global seen
            seen = True

    init._pgqueue = True  # type: ignore[attr-defined]
    psycopg.Connection.__init__ = init  # type: ignore[method-assign]
