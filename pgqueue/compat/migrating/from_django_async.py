"""What the tables of django-async become: groups, jobs that wait or are over, and errors."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import connections

from pgqueue.api.default import default_app
from pgqueue.cli.output import note
from pgqueue.compat import paths
from pgqueue.compat.django_async import plain, running, utils
from pgqueue.compat.migrating.engine import Kind, Moved, RefusedRow, Row, became
from pgqueue.django import conf

_GROUPS: Final = "async_group"
_JOBS: Final = "async_job"
_ERRORS: Final = "async_error"

_JOB: Final = (
    "name", "args", "kwargs", "meta", "result", "priority", "identity", "added", "scheduled",
    "started", "executed", "cancelled", "group_id",
)  # fmt: skip
#: How long the queue stays paused where this is cut off and nobody runs it again.
_PAUSED: Final = "7d"
_JSON: Final = {name: plain.JsonTextField(name=name) for name in ("args", "kwargs", "meta")}
_RESULT: Final = plain.JsonTextField(name="result")


def kinds(*, alias: str, salts: Sequence[str] = (), without_values: bool = False) -> list[Kind]:
    """Give what is moved, in order: a group that has ended takes no jobs that wait, so these come
    before those that are over.

    Args:
        alias: of the database with the old tables.
        salts, without_values: of no use here.
    """

    # The oldest versions could not cancel.
    knows = "cancelled" in _columns(_JOBS, alias)

    def write(rows: Sequence[dict[str, Any]]) -> list[object]:
        return _write_jobs(rows, alias)

    def write_errors(rows: Sequence[dict[str, Any]]) -> list[object]:
        return _write_errors(rows, alias)

    return [
        Kind(
            what="groups",
            table=_GROUPS,
            columns=("reference", "description", "created"),
            read=_read_group,
            write=_write_groups,
            needed=False,
        ),
        Kind(
            what="waiting jobs",
            table=_JOBS,
            columns=_JOB,
            where="executed IS NULL AND cancelled IS NULL" if knows else "executed IS NULL",
            read=_read_open,
            write=write,
        ),
        Kind(
            what="jobs that are over",
            table=_JOBS,
            columns=_JOB,
            where="(executed IS NOT NULL OR cancelled IS NOT NULL)"
            if knows
            else "executed IS NOT NULL",
            read=_read_job,
            write=write,
        ),
        Kind(
            what="errors",
            table=_ERRORS,
            columns=("job_id", "executed", "exception", "traceback"),
            read=_read_error,
            write=write_errors,
            needed=False,
        ),
    ]


@contextlib.contextmanager
def during() -> Iterator[None]:
    """Let no job of the facade begin: a group could end before all that wait are in it.

    Cut off, the queue stays paused, until this is run again and comes to its end. A pause that ends
    by itself is taken for one of ours, of a time before; one without an end is somebody else's.
    """
    queues = default_app().queues
    if any(
        one.queue == running.QUEUE and one.paused and one.resume_at is None for one in queues.list()
    ):
        yield
        return
    queues.pause(running.QUEUE, resume_in=_PAUSED)
    try:
        yield
    except BaseException:
        note(
            f"cut off: the queue {running.QUEUE} stays paused, for not all jobs of its groups may "
            "be in it; run this again, and it resumes at the end"
        )
        raise
    queues.resume(running.QUEUE)


def _read_group(row: Row) -> Moved:
    return Moved(value=dict(row))


def _write_groups(rows: Sequence[dict[str, Any]]) -> list[object]:
    return _insert("pgqueue.async_groups", rows, ("reference", "description", "created"))


def _read_open(row: Row) -> Moved:
    try:
        paths.check(utils.real_path(str(row["name"])))
    except paths.PathNotAllowedError as error:
        raise RefusedRow(str(error)) from None
    return _read_job(row)


def _read_job(row: Row) -> Moved:
    held = dict(row)
    try:
        for name, field in _JSON.items():
            held[name] = field.get_prep_value(row[name]) or field.get_prep_value(
                "[]" if name == "args" else "{}"
            )
        held["result"] = _RESULT.get_prep_value(row["result"]) or ""
    except ValidationError as error:
        raise RefusedRow("; ".join(error.messages)) from None
    return Moved(value=held)


def _write_jobs(rows: Sequence[dict[str, Any]], alias: str) -> list[object]:
    members = [row["group_id"] for row in rows if row["group_id"] is not None]
    groups = became(_GROUPS, members, alias)
    there = [
        {**row, "group_id": None if row["group_id"] is None else groups.get(str(row["group_id"]))}
        for row in rows
    ]
    keys = _insert("pgqueue.async_jobs", there, _JOB)
    finals = _finals([row["id"] for row in rows], alias)
    groups = became(_GROUPS, list(finals.values()), alias)
    with connections[conf.database()].cursor() as cursor:
        for row, key in zip(rows, keys, strict=True):
            group = groups.get(str(finals.get(row["id"])))
            if group is not None:
                cursor.execute(
                    "UPDATE pgqueue.async_groups SET final_id = %s WHERE id = %s", [key, group]
                )
    return keys


def _finals(ids: list[Any], alias: str) -> dict[Any, Any]:
    """Find the groups whose final jobs these are; a very old version knows none."""
    if "final_id" not in _columns(_GROUPS, alias):
        return {}
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT final_id, id FROM async_group WHERE final_id = ANY (%s)", [ids])
        return dict(cursor.fetchall())


def _columns(table: str, alias: str) -> set[str]:
    """List the columns of an old table; none where it is not there."""
    old = connections[alias]
    with old.cursor() as cursor:
        if table not in old.introspection.table_names(cursor):
            return set()
        return {column.name for column in old.introspection.get_table_description(cursor, table)}


def _read_error(row: Row) -> Moved:
    return Moved(value=dict(row))


def _write_errors(rows: Sequence[dict[str, Any]], alias: str) -> list[object]:
    jobs = became(_JOBS, [row["job_id"] for row in rows], alias)
    there = [{**row, "job_id": jobs.get(str(row["job_id"]))} for row in rows]
    if any(row["job_id"] is None for row in there):
        raise ValueError("its job was not moved")
    return _insert("pgqueue.async_errors", there, ("job_id", "executed", "exception", "traceback"))


def _insert(table: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[object]:
    """Insert rows as they are: models would put in times of their own."""
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    text = " ".join(("INSERT INTO", table, "(", names, ") VALUES (", marks, ") RETURNING id"))
    keys: list[object] = []
    with connections[conf.database()].cursor() as cursor:
        for row in rows:
            cursor.execute(text, [row[name] for name in columns])
            keys.append(cursor.fetchone()[0])
    return keys
