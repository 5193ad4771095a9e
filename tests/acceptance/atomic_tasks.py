"""Atomic tasks of the tests. What they write into `effects` must be there once for each job."""

import asyncio
import os
import time
from typing import NoReturn

import psycopg

from pgqueue import Cancel, Retry, Snooze, task
from pgqueue.core.context import Context
from tests.acceptance.tasks import note, pass_gate

EFFECT = "INSERT INTO effects (job, attempt) VALUES (%s, %s)"


def write(context: Context) -> None:
    context.connection.execute(EFFECT, (context.job_id, context.attempt))


@task(context=True, atomic=True)
def effect(context: Context, result: object = None) -> object:
    write(context)
    return result


@task(context=True, atomic=True)
async def aeffect(context: Context, result: object = None) -> object:
    await context.connection.execute(EFFECT, (context.job_id, context.attempt))
    await asyncio.sleep(0)
    return result


@task(context=True, atomic=True)
def effect_and_gate(context: Context, number: int) -> None:
    """Write, tell by which server process, and wait."""
    write(context)
    note(str(context.connection.info.backend_pid))
    pass_gate(number)
    context.connection.execute("SELECT 1")


@task(context=True, atomic=True)
async def aeffect_and_gate(context: Context, number: int) -> None:
    await context.connection.execute(EFFECT, (context.job_id, context.attempt))
    note(str(context.connection.info.backend_pid))
    await asyncio.get_running_loop().run_in_executor(None, pass_gate, number)
    await context.connection.execute("SELECT 1")


@task(context=True, atomic=True)
def slow_effect(context: Context) -> None:
    write(context)
    context.connection.execute("SELECT pg_sleep(0.005)")


@task(context=True, atomic=True, max_attempts=3, backoff=0)
def fail_twice(context: Context, how: str = "raise") -> int:
    """Write, and let the first two attempts come to nothing."""
    write(context)
    if context.attempt < 3:
        if how == "retry":
            raise Retry(in_=0)
        if how == "snooze":
            raise Snooze(0)
        raise ValueError("as told")
    return context.attempt


@task(context=True, atomic=True)
def cancel_itself(context: Context) -> NoReturn:
    write(context)
    raise Cancel("enough")


@task(context=True, atomic=True, timeout=0.3)
def too_long(context: Context, where: str) -> None:
    write(context)
    if where == "server":
        context.connection.execute("SELECT pg_sleep(60)")
    while True:
        time.sleep(0.005)


@task(context=True, atomic=True, timeout=0.3)
async def atoo_long(context: Context) -> None:
    await context.connection.execute(EFFECT, (context.job_id, context.attempt))
    await context.connection.execute("SELECT pg_sleep(60)")


@task(context=True, atomic=True)
def return_object(context: Context) -> object:
    write(context)
    return object()


@task(context=True, atomic=True)
def swallow(context: Context) -> None:
    """Go on after an error, without a savepoint."""
    write(context)
    try:
        context.connection.execute("SELECT 1 / 0")
    except psycopg.errors.DivisionByZero:
        return


@task(context=True, atomic=True)
def savepoint(context: Context) -> str:
    write(context)
    try:
        with context.connection.transaction():
            write(context)
            context.connection.execute("SELECT 1 / 0")
    except psycopg.errors.DivisionByZero:
        return "went on"
    return "did not fail"


@task(context=True, atomic=True)
def end_it(context: Context, how: str) -> None:
    """End the transaction by oneself."""
    write(context)
    if how in ("commit", "rollback", "close"):
        getattr(context.connection, how)()
    for statement in how.split(";"):
        context.connection.execute(statement.encode())


@task(context=True, atomic=True)
def deferred(context: Context) -> None:
    """Break a constraint that is checked by COMMIT."""
    write(context)
    context.connection.execute("INSERT INTO parts (whole) VALUES (7)")


@task(context=True, atomic=True)
def enqueue_and_fail(context: Context, fails: bool) -> None:
    effect.using(connection=context.connection).enqueue()
    if fails:
        raise ValueError("as told")


@task(context=True, atomic=True)
async def aenqueue(context: Context) -> None:
    await effect.using(connection=context.connection).aenqueue()


@task(context=True, atomic=True)
def litter(context: Context) -> None:
    """Leave a setting, a role and a row factory to the next one."""
    context.connection.row_factory = psycopg.rows.dict_row
    context.connection.execute("SET statement_timeout = '50s'")
    context.connection.execute("SET search_path = pg_catalog")


@task(context=True, atomic=True)
def settings(context: Context) -> list[object]:
    show = (
        "SELECT current_setting('statement_timeout'), current_setting('search_path'),"
        " current_setting('transaction_isolation'), pg_backend_pid()"
    )
    return list(context.connection.execute(show).fetchone())


@task(context=True, atomic=True)
def serializable(context: Context) -> str:
    context.connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    row = context.connection.execute("SELECT current_setting('transaction_isolation')").fetchone()
    return str(row[0])


@task(context=True, atomic=True)
def until_cancelled(context: Context) -> None:
    write(context)
    while True:
        context.check_cancelled()
        time.sleep(0.005)


@task(context=True)
def not_atomic(context: Context) -> str:
    try:
        return str(context.connection)
    except ValueError as error:
        return str(error)


@task(context=True, atomic=True)
def shoot_the_server(context: Context) -> None:
    """Have the server end the connection, each time."""
    with psycopg.connect(os.environ["PGQUEUE_DSN"], autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (context.connection.info.backend_pid,))
    write(context)
