"""Read which version of the schema a database has, and judge whether it fits this program.

Needs SELECT on `pgqueue.schema_versions` and nothing else.
"""

import dataclasses
import datetime as dt
from typing import Any, Final

import psycopg
from psycopg import errors as server
from psycopg.rows import tuple_row

from pgqueue.core.errors import (
    SchemaError,
    SchemaMissingError,
    SchemaModifiedError,
    SchemaOutdatedError,
    SchemaTooNewError,
)
from pgqueue.db.sqlfiles import SchemaVersion

#: What `psql -f` writes in place of a checksum.
BY_PSQL: Final = "psql"

#: What to do about a schema that is missing or old; migrations of Django call the same upgrader.
UPGRADE: Final = "run: python -m pgqueue schema upgrade (in Django: manage.py migrate)"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InstalledVersion:
    """One row of `pgqueue.schema_versions`."""

    number: int
    sha256: str
    breaking: bool
    applied_at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    """What a database has, beside what this program knows.

    Attributes:
        version_installed: the newest version in the database; None if there is none.
        version_known: the newest version that comes with this program, which it needs.
        installed: all versions in the database, oldest first.
        breaking: installed versions that are newer than this program and do not bear it.
        modified: installed versions whose files were not those of this program.
        by_psql: installed versions that `psql -f` installed and no upgrade has recorded yet.
        unrecorded: the schema has tables but names no version.
    """

    version_installed: int | None
    version_known: int
    installed: tuple[InstalledVersion, ...] = ()
    breaking: tuple[int, ...] = ()
    modified: tuple[int, ...] = ()
    by_psql: tuple[int, ...] = ()
    unrecorded: bool = False

    @property
    def too_new(self) -> bool:
        """Whether the database has a version that this program cannot work with."""
        return bool(self.breaking)

    @property
    def word(self) -> str:
        """One of missing, unrecorded, too-new, modified, outdated, newer, current."""
        if self.unrecorded:
            return "unrecorded"
        if self.version_installed is None:
            return "missing"
        if self.too_new:
            return "too-new"
        if self.modified:
            return "modified"
        if self.version_installed < self.version_known:
            return "outdated"
        return "newer" if self.version_installed > self.version_known else "current"

    def sha256(self, number: int) -> str | None:
        """Return the checksum that is recorded for a version."""
        return next((found.sha256 for found in self.installed if found.number == number), None)

    def problem(self) -> SchemaError | None:
        """Return the error that keeps this program from working with the schema, if any."""
        needed, found = self.version_known, self.version_installed
        match self.word:
            case "missing":
                return SchemaMissingError(
                    f"the pgqueue schema is not in this database; {UPGRADE}", needed, None
                )
            case "unrecorded":
                return SchemaModifiedError(
                    "the schema pgqueue has tables but names no version, as if psql had stopped "
                    "half-way; run: python -m pgqueue schema uninstall, then schema upgrade",
                    needed,
                    None,
                )
            case "too-new":
                return SchemaTooNewError(
                    f"the database has schema version {max(self.breaking)}, which this pgqueue "
                    f"(schema {needed}) cannot work with; upgrade pgqueue on this machine",
                    needed,
                    found,
                )
            case "modified":
                return SchemaModifiedError(
                    f"schema version {self.modified[0]} in this database was not made from the "
                    "files of this pgqueue; install the pgqueue that made it, or run: "
                    "python -m pgqueue schema uninstall, then schema upgrade",
                    needed,
                    found,
                )
            case "outdated":
                return SchemaOutdatedError(
                    f"schema version {needed} is needed, the database has {found}; {UPGRADE}",
                    needed,
                    found,
                )
        return None


def read_status(
    connection: psycopg.Connection[Any], versions: tuple[SchemaVersion, ...]
) -> SchemaStatus:
    """Read what is installed and compare it with the versions that this program has.

    Raises:
        SchemaError: this role may not read the versions.
    """
    try:
        with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            # The catalog may be read by everybody; a look at the table itself must not be the
            # first, since it fails where there is none.
            cursor.execute(
                "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
                "ON n.oid = c.relnamespace WHERE n.nspname = 'pgqueue' AND c.relkind = 'r'"
            )
            tables = {row[0] for row in cursor}
            installed: list[InstalledVersion] = []
            if "schema_versions" in tables:
                cursor.execute(
                    "SELECT version, sha256, breaking, applied_at "
                    "FROM pgqueue.schema_versions ORDER BY version"
                )
                installed = [
                    InstalledVersion(number=a, sha256=b, breaking=c, applied_at=d)
                    for a, b, c, d in cursor
                ]
    except server.InsufficientPrivilege as error:
        raise SchemaError(
            f"this role may not read the version of the schema: {error.diag.message_primary}; "
            "grant it USAGE on schema pgqueue and SELECT on pgqueue.schema_versions"
        ) from error
    known = {version.number: version.sha256 for version in versions}
    return SchemaStatus(
        version_installed=installed[-1].number if installed else None,
        version_known=versions[-1].number,
        installed=tuple(installed),
        breaking=tuple(v.number for v in installed if v.number not in known and v.breaking),
        modified=tuple(
            v.number for v in installed if v.sha256 not in (BY_PSQL, known.get(v.number, v.sha256))
        ),
        by_psql=tuple(v.number for v in installed if v.sha256 == BY_PSQL and v.number in known),
        unrecorded=bool(tables) and not installed,
    )
