"""Install, upgrade, check, verify and remove the schema pgqueue in a database.

One folder of SQL files is one transaction. Upgrades wait for each other on an advisory lock, and
give up a lock on a table soon rather than make the application's statements queue behind them.
Whoever has installed by `psql -f` is taken on by the next upgrade.
"""

import contextlib
import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from psycopg import errors as server
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, tuple_row
from psycopg.types.json import Jsonb

from pgqueue.core import failpoints
from pgqueue.core.errors import (
    ConnectionLostError,
    SchemaError,
    SchemaMissingError,
    SchemaModifiedError,
)
from pgqueue.db import catalog
from pgqueue.db.sqlfiles import SchemaVersion, SqlFile, read_versions
from pgqueue.db.status import SchemaStatus, read_status

T = TypeVar("T")

_ADVISORY_LOCK: Final = 0x70677175657565  # "pgqueue" in ASCII
_FORCE: Final = "or force it: python -m pgqueue schema uninstall --force"
_LOCK_TIMEOUT: Final = 2.0
_ATTEMPTS: Final = 30
# How the files are read must not depend on who runs them: names resolve to the system's own, text
# is UTF-8, nothing is cut short by a timeout meant for somebody else.
_SETTINGS: Final = {
    "search_path": "pg_catalog, pg_temp",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "check_function_bodies": "on",
    "client_min_messages": "warning",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
}
_HELD_BACK: Final = (server.LockNotAvailable, server.DeadlockDetected)
_UNFINISHED: Final[dict[LiteralString, LiteralString]] = {
    "ready": "SELECT count(*) FROM pgqueue.ready_jobs",
    "scheduled": "SELECT count(*) FROM pgqueue.scheduled_jobs",
    "blocked": "SELECT count(*) FROM pgqueue.blocked_jobs",
    "running": "SELECT count(*) FROM pgqueue.running_jobs",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeReport:
    """What an upgrade did.

    Attributes:
        version_before: the version that was there; None if there was none.
        version_after: the version that is there now.
        applied: the versions that were installed.
        recorded: the versions that psql had installed and that were taken on.
        retries: how often a lock was not to be had in time and a version was tried again.
    """

    version_before: int | None
    version_after: int
    applied: tuple[int, ...] = ()
    recorded: tuple[int, ...] = ()
    retries: int = 0


def upgrade(
    connection: psycopg.Connection[Any],
    *,
    root: Path | None = None,
    lock_timeout: float = _LOCK_TIMEOUT,
    attempts: int = _ATTEMPTS,
) -> UpgradeReport:
    """Bring the schema to the newest version; does nothing if it is there.

    Inside the caller's transaction everything is part of that transaction; otherwise each version
    is committed as it is installed.

    Args:
        root: the folder of version folders; the default is the one that comes with pgqueue.
        lock_timeout: seconds to wait for a lock on a table before letting others pass.
        attempts: how often a version is tried when its locks are not to be had.

    Raises:
        SchemaTooNewError: the database has a newer, breaking version.
        SchemaModifiedError: what is installed did not come from these files.
        SchemaError: the server refused a file, or its locks were not to be had.
        ConnectionLostError: the connection broke; the version at hand is not installed.
    """
    versions = read_versions(root)
    before: int | None = None
    applied: list[int] = []
    recorded: list[int] = []
    retries = 0
    first = True
    while True:
        step, tries = _patiently(
            connection, lambda: _step(connection, versions, lock_timeout), attempts
        )
        retries += tries
        if first:
            before, first = step.before, False
        recorded += step.recorded
        if step.applied is None:
            break
        applied.append(step.applied)
    return UpgradeReport(
        version_before=before,
        version_after=step.before or 0,
        applied=tuple(applied),
        recorded=tuple(recorded),
        retries=retries,
    )


def status(connection: psycopg.Connection[Any], *, root: Path | None = None) -> SchemaStatus:
    """Tell which version is installed, which is known here, and how they go together."""
    return read_status(connection, read_versions(root))


def check(connection: psycopg.Connection[Any], *, root: Path | None = None) -> None:
    """Make sure that a worker of this version can work with the schema.

    Raises:
        SchemaMissingError: there is none.
        SchemaOutdatedError: it is older than this program needs.
        SchemaTooNewError: it is newer and does not bear older workers.
        SchemaModifiedError: it did not come from the files of this program.
        SchemaError: this role may not read its version.
    """
    problem = status(connection, root=root).problem()
    if problem is not None:
        raise problem


def verify(
    connection: psycopg.Connection[Any], *, root: Path | None = None
) -> list[catalog.Difference]:
    """List what is not as it was installed.

    Raises:
        SchemaMissingError: nothing is installed.
        SchemaError: there is nothing to compare with, or this role may not read it.
    """
    found = status(connection, root=root)
    if found.version_installed is None:
        raise found.problem() or SchemaMissingError("no schema")
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            # As text, decoded by the encoding of the session; JSON would be taken for UTF-8.
            "SELECT manifest::text FROM pgqueue.schema_versions WHERE version = %s",
            (found.version_installed,),
        )
        manifest = next(iter(cursor), (None,))[0]
    if manifest is None:
        raise SchemaError(
            f"schema version {found.version_installed} was installed by psql and never recorded, "
            "so there is nothing to compare it with; run: python -m pgqueue schema upgrade",
            found.version_known,
            found.version_installed,
        )
    differences = catalog.compare(json.loads(manifest), catalog.read_manifest(connection))
    for version in read_versions(root):
        if version.number in found.modified:
            differences.append(
                catalog.Difference(
                    object=f"version {version.folder}",
                    problem="changed",
                    expected=f"files with sha256 {version.sha256}",
                    found=f"files with sha256 {found.sha256(version.number)}",
                )
            )
    return differences


def uninstall(connection: psycopg.Connection[Any], *, force: bool = False) -> None:
    """Drop the schema pgqueue with all jobs, and whatever else depends on it.

    Args:
        force: also while workers are alive, or jobs are not finished.

    Raises:
        SchemaMissingError: there is none.
        SchemaError: workers are alive or jobs unfinished, or the server refuses.
    """
    _patiently(connection, lambda: _uninstall(connection, force), _ATTEMPTS)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One transaction of an upgrade: the version found, and what was done about it."""

    before: int | None
    applied: int | None
    recorded: tuple[int, ...]


def _step(
    connection: psycopg.Connection[Any], versions: tuple[SchemaVersion, ...], lock_timeout: float
) -> _Step:
    with _transaction(connection, lock_timeout) as cursor:
        found = read_status(connection, versions)
        if found.too_new or found.modified or found.unrecorded:
            raise found.problem() or SchemaModifiedError("unknown objects")
        recorded = tuple(v for v in versions if v.number in found.by_psql)
        for version in recorded:
            _record(cursor, version, None)
        missing = [v for v in versions if v.number > (found.version_installed or 0)]
        if missing:
            for file in missing[0].files:
                _apply(connection, cursor, missing[0], file)
                if failpoints.on:
                    failpoints.hit("migrate_step")
            _record(cursor, missing[0], catalog.read_manifest(connection))
        elif recorded:
            _record(cursor, recorded[-1], catalog.read_manifest(connection))
    return _Step(
        before=found.version_installed,
        applied=missing[0].number if missing else None,
        recorded=tuple(version.number for version in recorded),
    )


def _apply(
    connection: psycopg.Connection[Any],
    cursor: psycopg.Cursor[TupleRow],
    version: SchemaVersion,
    file: SqlFile,
) -> None:
    where = f"sql/{version.folder}/{file.name}"
    try:
        # Without parameters psycopg sends the text as it is, many statements at once.
        cursor.execute(file.content, prepare=False)
    except _HELD_BACK:
        raise
    except psycopg.Error as error:
        if connection.closed:
            raise ConnectionLostError(
                f"the connection broke during {where}; version {version.number} is not installed; "
                "run the upgrade again"
            ) from error
        position = error.diag.statement_position
        line = file.content.decode()[: int(position or 1) - 1].count("\n") + 1
        remedy = (
            "run it as a role that may create schemas in this database"
            if isinstance(error, server.InsufficientPrivilege)
            else f"version {version.number} is not installed"
        )
        raise SchemaError(
            f"the server refused {where}{f' in line {line}' if position else ''}: "
            f"{error.diag.message_primary or error}; {remedy}"
        ) from error


def _record(
    cursor: psycopg.Cursor[TupleRow], version: SchemaVersion, manifest: catalog.Manifest | None
) -> None:
    cursor.execute(
        "INSERT INTO pgqueue.schema_versions AS mine (version, sha256, breaking, manifest) "
        "VALUES (%s, %s, %s, %s) ON CONFLICT (version) DO UPDATE "
        "SET sha256 = excluded.sha256, breaking = excluded.breaking, "
        "manifest = COALESCE(excluded.manifest, mine.manifest)",
        (version.number, version.sha256, version.breaking, manifest and Jsonb(manifest)),
    )


def _uninstall(connection: psycopg.Connection[Any], force: bool) -> None:
    with _transaction(connection, _LOCK_TIMEOUT) as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_catalog.pg_namespace n "
            "LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid WHERE n.nspname = 'pgqueue'"
        )
        tables = {row[0] for row in cursor}
        if not tables:
            raise SchemaMissingError("the pgqueue schema is not in this database; nothing to do")
        if not force:
            _refuse_in_use(cursor, tables)
        try:
            cursor.execute("DROP SCHEMA pgqueue CASCADE")
        except server.InsufficientPrivilege as error:
            raise SchemaError(
                f"the server refused to drop the schema: {error.diag.message_primary}; "
                "run it as the role that owns it"
            ) from error


def _refuse_in_use(cursor: psycopg.Cursor[TupleRow], tables: set[str]) -> None:
    if "jobs" in tables:
        # From here on no job can come in that the count below has not seen.
        cursor.execute("LOCK TABLE pgqueue.jobs IN ACCESS EXCLUSIVE MODE")
    if "workers" in tables:
        cursor.execute(
            "SELECT count(*) FROM pgqueue.workers WHERE heartbeat_at + lease > clock_timestamp()"
        )
        alive = next(cursor)[0]
        if alive:
            raise SchemaError(
                f"the schema is in use by {alive} live workers; stop them first, {_FORCE}"
            )
    counts: dict[str, int] = {}
    for state, count in _UNFINISHED.items():
        if f"{state}_jobs" in tables:
            cursor.execute(count)
            counts[state] = next(cursor)[0]
    if any(counts.values()):
        left = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
        raise SchemaError(f"unfinished jobs would be lost: {left}; let them finish, {_FORCE}")


@contextlib.contextmanager
def _transaction(
    connection: psycopg.Connection[Any], lock_timeout: float
) -> Iterator[psycopg.Cursor[TupleRow]]:
    """Open a transaction (inside the caller's, a savepoint) that is alone with the schema."""
    ours = connection.info.transaction_status == TransactionStatus.IDLE
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        if ours:
            # Under a stricter level, what is read after the wait would be older than the wait.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
        earlier = {name: _set(cursor, name, value) for name, value in _SETTINGS.items()}
        cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
        _set(cursor, "lock_timeout", f"{int(lock_timeout * 1000)}ms")
        yield cursor
        if not ours:
            for name, value in earlier.items():
                _set(cursor, name, value)


def _set(cursor: psycopg.Cursor[TupleRow], name: str, value: str) -> str:
    """Set a parameter until the end of the transaction; return what it was."""
    cursor.execute("SELECT pg_catalog.current_setting(%s)", (name,))
    earlier = str(next(cursor)[0])
    cursor.execute("SELECT pg_catalog.set_config(%s, %s, true)", (name, value))
    return earlier


def _patiently(
    connection: psycopg.Connection[Any], work: Callable[[], T], attempts: int
) -> tuple[T, int]:
    """Do the work, again if its locks are not to be had; return its result and the retries."""
    for attempt in range(attempts):
        try:
            return work(), attempt
        except _HELD_BACK:
            if attempt + 1 < attempts:
                # Leave room for those who waited behind us, and do not meet a rival twice.
                time.sleep(random.uniform(0.05, 0.2))
        except psycopg.OperationalError as error:
            if not connection.closed:
                raise
            raise ConnectionLostError(
                "the connection broke during the change of the schema; run it again"
            ) from error
    raise SchemaError(
        f"others hold locks on the tables of pgqueue, tried {attempts} times; "
        "try again when no long transaction runs"
    )
