"""The tasks of the campaigns: each execution writes into the history that it starts and ends.

| kind | what the job does |
| --- | --- |
| `plain` | sleeps for up to 15 ms |
| `long` | goes on for up to 0.6 s, and gives a sign of life every 20 ms |
| `lasting` | as long, for up to 5 s |
| `later` | as plain, with a `run_at` of up to 1.5 s ahead |
| `fails` | fails at its first real attempt, and is tried again |
| `async` | as plain, on the event loop |
| `effect` | writes a row into `effects`, at once |
| `called` | is a callback: nothing |
| `atomic` | writes a row into `effects`, in one transaction with its finish |
"""

import asyncio
import os
import threading
import time
from typing import Any, NoReturn

import psycopg

from pgqueue import task
from pgqueue.core.context import Context
from tests.faults import history

if os.environ.get("PGQUEUE_FAULTS_MUTANT"):
    # The zygote imports this module before it forks.
    from tests.faults.mutated import apply

    apply(os.environ["PGQUEUE_FAULTS_MUTANT"], "child")

PREFIX = "tests.faults.tasks."

_TICK = 0.02
_local = threading.local()


class FirstTime(Exception):
    """What a job of kind `fails` raises."""


class _Execution:
    """One execution of a job, as the history sees it."""

    def __init__(self, key: str, context: Context) -> None:
        self._mine = {"key": key, "attempt": context.attempt, "pid": os.getpid()}

    def __enter__(self) -> "_Execution":
        # The supervisor is the parent of the zygote, and can be frozen or killed by itself.
        history.own().write("start", **self._mine, boss=_boss())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        history.own().write("end", **self._mine, how="ok" if kind is None else kind.__name__)

    def tick(self) -> None:
        history.own().write("tick", **self._mine)

    def sleep(self, seconds: float) -> None:
        """Sleep, and give a sign of life now and then."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(_TICK, left))
            if left > _TICK:
                self.tick()


def _boss() -> int:
    """Give the process id of our supervisor."""
    found = getattr(_local, "boss", None)
    if found is None or found[0] != os.getpid():
        with open(f"/proc/{os.getppid()}/stat") as file:
            found = os.getpid(), int(file.read().rpartition(")")[2].split()[1])
        _local.boss = found
    return int(found[1])


def _connection() -> psycopg.Connection[Any]:
    """Give this thread's own connection, straight to the database."""
    kept = getattr(_local, "connection", None)
    if kept is None or kept[0] != os.getpid() or kept[1].closed:
        kept = os.getpid(), psycopg.connect(os.environ["PGQUEUE_FAULTS_DSN"], autocommit=True)
        _local.connection = kept
    found: psycopg.Connection[Any] = kept[1]
    return found


@task(context=True)
def plain(context: Context, key: str, seconds: float) -> None:
    with _Execution(key, context):
        time.sleep(seconds)


@task(context=True)
def called(context: Context, ended: dict[str, Any], key: str, seconds: float) -> None:
    with _Execution(key, context):
        time.sleep(seconds)


@task(context=True)
def long(context: Context, key: str, seconds: float) -> None:
    with _Execution(key, context) as execution:
        execution.sleep(seconds)


@task(context=True, max_attempts=100, backoff=0.05)
def fails(context: Context, key: str, seconds: float) -> None:
    with _Execution(key, context):
        time.sleep(seconds)
        if context.attempt - context.lost == 1:
            _raise()


def _raise() -> NoReturn:
    raise FirstTime


@task(context=True)
async def asynchronous(context: Context, key: str, seconds: float) -> None:
    with _Execution(key, context):
        await asyncio.sleep(seconds)


@task(context=True, max_attempts=1000, backoff=0.1)
def effect(context: Context, key: str, seconds: float) -> None:
    with _Execution(key, context):
        time.sleep(seconds)
        try:
            _connection().execute(
                "INSERT INTO public.effects (key, attempt, atomic) VALUES (%s, %s, false)",
                (key, context.attempt),
            )
        except psycopg.Error:
            _local.connection = None
            raise


@task(context=True, atomic=True, max_attempts=1000, backoff=0.1)
def atomic(context: Context, key: str, seconds: float) -> None:
    with _Execution(key, context):
        time.sleep(seconds)
        context.connection.execute(
            "INSERT INTO public.effects (key, attempt, atomic) VALUES (%s, %s, true)",
            (key, context.attempt),
        )


#: The task of each kind.
TASK_OF = {
    "plain": "plain",
    "long": "long",
    "lasting": "long",
    "later": "plain",
    "fails": "fails",
    "async": "asynchronous",
    "effect": "effect",
    "atomic": "atomic",
}
#: Most seconds that each kind takes.
MOST = {"long": 0.6, "lasting": 5.0}
MOST_OTHERS = 0.015
