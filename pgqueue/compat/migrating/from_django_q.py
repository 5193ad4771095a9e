"""What the tables of django-q become: waiting tasks, schedules, results and failures."""

import datetime as dt
import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from django.conf import settings
from django.core import signing
from django.db import connections
from django.utils import timezone

from pgqueue.api.default import default_app
from pgqueue.compat import paths
from pgqueue.compat.django_q import literals, packages
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.models import Schedule, Task
from pgqueue.compat.migrating import elsewhere, plain
from pgqueue.compat.migrating.engine import Kind, Moved, RefusedRow, Row
from pgqueue.core.errors import PgQueueError
from pgqueue.db.statements.adding import JobSpec
from pgqueue.django import conf

#: Tasks that wait in no table.
stays: Final = elsewhere.stays
#: Where a value stood that could not be read.
LEFT_OUT: Final = "(not moved: its pickle was not signed)"

_SCHEDULE: Final = (
    "name", "func", "hook", "args", "kwargs", "schedule_type", "minutes", "repeats", "next_run",
    "cron", "task", "cluster", "intended_date_kwarg",
)  # fmt: skip
_TASK: Final = (
    "name", "func", "hook", "args", "kwargs", "result", "group", "cluster", "started", "stopped",
    "success", "attempt_count",
)  # fmt: skip


def kinds(*, alias: str, salts: Sequence[str] = (), without_values: bool = False) -> list[Kind]:
    """Give what is moved, in order.

    Args:
        alias: of the database with the old tables.
        salts: names that clusters had when they signed their tasks, beside that of Q_CLUSTER.
        without_values: move finished tasks whose values cannot be read, without these.
    """
    names = tuple(dict.fromkeys((Conf.PREFIX, *salts)))
    return [
        Kind(
            what="waiting tasks",
            table="django_q_ormq",
            columns=("key", "payload", "lock"),
            read=lambda row: _read_waiting(row, names),
            write=_write_waiting,
            needed=False,
        ),
        Kind(
            what="schedules",
            table="django_q_schedule",
            columns=_SCHEDULE,
            read=_read_schedule,
            write=_write_schedules,
        ),
        Kind(
            what="results and failures",
            table="django_q_task",
            columns=_TASK,
            read=lambda row: _read_task(row, without_values=without_values),
            write=_write_tasks,
        ),
    ]


class _Pickles:
    """Read a package whose signature was checked."""

    def loads(self, data: bytes) -> Any:
        """Read it."""
        return pickle.loads(data)


def _opened(payload: str, names: Sequence[str]) -> Any:
    """Open a signed package.

    Raises:
        RefusedRow: it was not signed with this project's keys, or its classes are gone.
    """
    if not conf.pickle():
        raise RefusedRow('it is a pickle, and PGQUEUE["PICKLE"] is False')
    for name in names:
        try:
            return signing.loads(
                payload,
                salt=name,
                serializer=_Pickles,
                fallback_keys=list(settings.SECRET_KEY_FALLBACKS),
            )
        except signing.BadSignature:
            continue
        except Exception as error:
            raise RefusedRow(
                f"it is signed, and cannot be read ({type(error).__name__}); is all that it names "
                "still there"
            ) from None
    raise RefusedRow(
        "it is not signed with SECRET_KEY, or one of SECRET_KEY_FALLBACKS, by a cluster named "
        f"{' or '.join(names)}; give the cluster's old name with --salt"
    )


def _read_waiting(row: Row, names: Sequence[str]) -> Moved:
    task = _opened(str(row["payload"]), names)
    if not isinstance(task, dict) or not {"id", "name", "func", "args", "kwargs"} <= set(task):
        raise RefusedRow("it is signed, and is no task")
    if task.get("iter_count"):
        raise RefusedRow(
            "the results of the others of an async_iter() are in the cache of the old cluster",
            what="members of async_iter()",
            do="let the old cluster finish them, or call async_iter() anew and delete them",
        )
    try:
        spec = packages.job_of(task, str(row["key"]))
    except (PgQueueError, ValueError, TypeError) as error:
        raise RefusedRow(str(error)) from None
    lock = row["lock"]
    if isinstance(lock, dt.datetime) and lock > timezone.now():
        # Taken and not finished: it came again when this was over.
        spec = replace(spec, options=spec.options.updated(run_at=lock))
    return Moved(value=spec)


def _write_waiting(specs: Sequence[JobSpec]) -> list[object]:
    return [handle.id for handle in default_app().enqueue_many(specs)]


def _read_schedule(row: Row) -> Moved:
    held = {name: row[name] for name in ("id", *_SCHEDULE)}
    if held["repeats"] != 0 and held["next_run"] is not None:
        # One that is over runs nothing, and is moved as it stands.
        try:
            args, _ = literals.arguments(held["args"], held["kwargs"])
        except ValueError as error:
            raise RefusedRow(str(error)) from None
        try:
            paths.check(str(held["func"]), args)
        except paths.PathNotAllowedError as error:
            raise RefusedRow(str(error)) from None
    return Moved(value=held)


def _write_schedules(rows: Sequence[dict[str, Any]]) -> list[object]:
    taken = set(Schedule.objects.filter(pk__in=[row["id"] for row in rows]).values_list("pk"))
    free = [row for row in rows if (row["id"],) not in taken]
    made = {
        row["id"]: one
        for row, one in zip(
            rows,
            (Schedule(**{**row, "id": row["id"] if row in free else None}) for row in rows),
            strict=True,
        )
    }
    # Not by save(), which begins a cron expression anew.
    Schedule.objects.bulk_create(made.values())
    with connections[conf.database()].cursor() as cursor:
        cursor.execute(
            # Only forward: numbers that were drawn, of rows that are gone or not committed yet,
            # are not drawn again.
            "SELECT setval(q.name, s.most)"
            " FROM (SELECT max(id) AS most FROM pgqueue.django_q_schedules) AS s,"
            " pg_get_serial_sequence('pgqueue.django_q_schedules', 'id') AS q (name)"
            " WHERE s.most > nextval(q.name)"
        )
    return [one.pk for one in made.values()]


def _read_task(row: Row, *, without_values: bool) -> Moved:
    held: dict[str, Any] = {name: row[name] for name in ("id", *_TASK)}
    lossy = False
    for name in ("args", "kwargs", "result"):
        try:
            held[name] = plain.read(row[name])
        except plain.UnreadableError as why:
            if not without_values:
                raise RefusedRow(f"{name}: {why}; --without-values moves the rest") from None
            held[name] = LEFT_OUT if name == "result" else None
            lossy = True
    held["attempt_count"] = held["attempt_count"] or 0
    return Moved(value=Task(**held), lossy=lossy)


def _write_tasks(tasks: Sequence[Task]) -> list[object]:
    Task.objects.bulk_create(tasks, ignore_conflicts=True)
    return [task.pk for task in tasks]
