"""The schema in Django's database: installed, emptied and removed over Django's connection."""

import contextlib
from typing import Any, Final

from django.conf import settings
from django.db import connections

from pgqueue.core.errors import SchemaMissingError
from pgqueue.db import schema
from pgqueue.django import conf
from pgqueue.django.router import LABEL

# TRUNCATE makes a new file of each table, so only where there is something. That of jobs empties
# what hangs on jobs; the others go together, since one may refer to another.
# CASCADE for tables of the project that refer to ours: TRUNCATE refuses else, though the flush has
# emptied them before.
_EMPTY: Final = """
DO $$
DECLARE
    v_names text;
    v_looks text;
    v_full boolean;
BEGIN
    IF EXISTS (SELECT FROM pgqueue.jobs) THEN
        TRUNCATE pgqueue.jobs CASCADE;
    END IF;
    SELECT
        string_agg(format('pgqueue.%I', t.tablename), ', '),
        string_agg(format('EXISTS (SELECT FROM pgqueue.%I)', t.tablename), ' OR ')
    INTO v_names, v_looks
    FROM pg_tables AS t
    WHERE t.schemaname = 'pgqueue' AND t.tablename NOT IN ('jobs', 'schema_versions');
    EXECUTE 'SELECT ' || v_looks INTO v_full;
    IF v_full THEN
        EXECUTE 'TRUNCATE ' || v_names || ' CASCADE';
    END IF;
END
$$
"""


def is_ours(connection: Any) -> bool:
    """Tell whether a connection of Django's leads to the database of the queue."""
    return bool(connection.alias == conf.database() and connection.vendor == "postgresql")


def upgrade(connection: Any) -> None:
    """Bring the schema to the newest version; part of the transaction that is under way, if any.

    Raises:
        SchemaError: it cannot be.
    """
    schema.upgrade(_driver(connection))


def uninstall(connection: Any) -> None:
    """Remove the schema with all jobs; nothing to do where there is none.

    Raises:
        SchemaError: workers are alive, or jobs are not finished.
    """
    with contextlib.suppress(SchemaMissingError):
        schema.uninstall(_driver(connection))


def is_installed(connection: Any) -> bool:
    """Tell whether there is a schema."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pgqueue.jobs') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def after_migrate(using: str, **details: Any) -> None:
    """Do what Django does to tables that it manages; a receiver of `post_migrate`.

    `flush`, and each test of a TransactionTestCase, empties the tables; without migrations, as
    with `--nomigrations`, tables are made at once. Both are known by what the signal carries.
    """
    connection = connections[using]
    if not is_ours(connection):
        return
    if "plan" not in details:
        empty(connection)
    elif LABEL in settings.MIGRATION_MODULES and settings.MIGRATION_MODULES[LABEL] is None:
        upgrade(connection)


def empty(connection: Any) -> None:
    """Delete all jobs, settings of queues and workers, if there are any."""
    if is_installed(connection):
        with connection.cursor() as cursor:
            cursor.execute(_EMPTY)


def _driver(connection: Any) -> Any:
    """Give the driver's connection, in the transaction that Django means to be in."""
    with connection.cursor() as cursor:
        # Django begins with the first statement; of a driver that is idle the upgrader would take
        # the transaction for its own to end.
        cursor.execute("SELECT 1")
    return connection.connection
