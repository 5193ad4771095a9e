"""What the table of django-future becomes: jobs that wait, and those that are over."""

from collections.abc import Sequence
from typing import Any, Final

from pgqueue.compat.django_future import running
from pgqueue.compat.django_future.models import ScheduledJob
from pgqueue.compat.migrating import plain
from pgqueue.compat.migrating.engine import Kind, Moved, RefusedRow, Row
from pgqueue.compat.paths import PathNotAllowedError
from pgqueue.django import conf

_COLUMNS: Final = (
    "time_slot_start", "time_slot_end", "execution_start", "status", "content_type_id",
    "object_id", "callable_name", "args", "kwargs", "error", "return_value",
)  # fmt: skip
_OVER: Final = ("failed", "complete", "expired")


def kinds(*, alias: str, salts: Sequence[str] = (), without_values: bool = False) -> list[Kind]:
    """Give what is moved.

    Args:
        alias, salts: of no use here.
        without_values: move jobs that are over and whose arguments cannot be read, without these.
    """
    return [
        Kind(
            what="jobs",
            table="django_future_scheduledjob",
            columns=_COLUMNS,
            read=lambda row: _read(row, without_values=without_values),
            write=_write,
        )
    ]


def _read(row: Row, *, without_values: bool) -> Moved:
    held: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    if held["status"] == "running":
        raise RefusedRow(
            "its status is running: the old library was stopped while it ran, and it may have had "
            "its effects; set it to scheduled or failed in the old table"
        )
    if held["status"] not in _OVER:
        try:
            running.check(str(held["callable_name"]))
        except PathNotAllowedError as error:
            raise RefusedRow(str(error)) from None
    lossy = False
    for name, empty in (("args", ()), ("kwargs", {})):
        try:
            held[name] = plain.read(row[name]) or empty
        except plain.UnreadableError as why:
            if held["status"] not in _OVER:
                raise RefusedRow(
                    f"{name}: {why}; nobody has signed it, so let the old library run it, or "
                    "schedule it anew"
                ) from None
            if not without_values:
                raise RefusedRow(f"{name}: {why}; --without-values moves the rest") from None
            held[name], lossy = empty, True
    return Moved(value=held, lossy=lossy)


def _write(rows: Sequence[dict[str, Any]]) -> list[object]:
    jobs = [ScheduledJob(**row) for row in rows]
    for job in jobs:
        # Not by save(), which refuses what may not run; of jobs that are over nothing runs.
        job.save_base(using=conf.database(), force_insert=True)
    return [job.pk for job in jobs]
