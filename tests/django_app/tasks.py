"""Tasks of a Django project: what they write through the ORM is part of the finish of their job."""

from django.db import IntegrityError, connection, transaction

import tests.django_app.ready  # noqa: F401
from pgqueue import Context, task
from pgqueue.django import use_django_connections
from tests.acceptance.tasks import note, pass_gate
from tests.django_app.shop.models import Effect, Note

use_django_connections()


@task(atomic=True)
def effect(job: int, result: object = None) -> object:
    """Write without a context."""
    Effect.objects.create(job=job, attempt=1)
    return result


@task(atomic=True, context=True, max_attempts=3, backoff=0)
def fail_twice(context: Context) -> None:
    Effect.objects.create(job=context.job_id, attempt=context.attempt)
    transaction.on_commit(lambda: Note.objects.create(text=f"attempt {context.attempt}"))
    if context.attempt < 3:
        raise ValueError("as told")


@task(atomic=True, context=True)
def plain(context: Context) -> None:
    Effect.objects.create(job=context.job_id, attempt=context.attempt)


@task(atomic=True, context=True)
def same_connection(context: Context) -> bool:
    plain.using(connection=context.connection).enqueue()
    return context.connection is connection.connection


@task(atomic=True, context=True)
def hook(context: Context, fails: bool) -> None:
    """Register hooks, the first of which may fail."""
    Effect.objects.create(job=context.job_id, attempt=context.attempt)

    def first() -> None:
        Note.objects.create(text="first")
        if fails:
            raise RuntimeError("the hook failed")

    transaction.on_commit(first)


@task(atomic=True, context=True)
def savepoint(context: Context) -> None:
    Effect.objects.create(job=context.job_id, attempt=context.attempt)
    try:
        with transaction.atomic():
            Effect.objects.create(pk=1, job=0, attempt=0)
            Effect.objects.create(pk=1, job=0, attempt=0)
    except IntegrityError:
        return


@task(atomic=True, context=True)
def swallow(context: Context) -> None:
    Effect.objects.create(job=context.job_id, attempt=context.attempt)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
    except Exception:
        return


@task(atomic=True, context=True)
def end_it(context: Context, statement: str) -> None:
    Effect.objects.create(job=context.job_id, attempt=context.attempt)
    with connection.cursor() as cursor:
        cursor.execute(statement)


@task(atomic=True, context=True)
def refuse(context: Context) -> None:
    """Break a constraint that is checked by COMMIT."""
    Effect.objects.create(job=context.job_id, attempt=context.attempt)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO parts (whole) VALUES (7)")


@task(atomic=True, context=True, timeout=0.3)
def too_long(context: Context) -> None:
    Effect.objects.create(job=context.job_id, attempt=context.attempt)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")


@task(atomic=True, context=True)
def effect_and_gate(context: Context, number: int) -> None:
    Effect.objects.create(job=context.job_id, attempt=context.attempt)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        note(str(cursor.fetchone()[0]))
        pass_gate(number)
        cursor.execute("SELECT 1")
