"""The app in a project: migrations, routers, flush, the models beside the catalog."""

import contextlib
from io import StringIO
from typing import Any

import psycopg
import pytest

from pgqueue.db import catalog, schema
from pgqueue.db.sqlfiles import read_versions
from tests.fixtures.databases import Database
from tests.helpers import run_cli


def migrate(*arguments: str, **options: Any) -> str:
    from django.core.management import call_command

    said = StringIO()
    call_command("migrate", *arguments, stdout=said, verbosity=1, interactive=False, **options)
    return said.getvalue()


def manifest(database: Database) -> Any:
    with psycopg.connect(database.dsn) as connection:
        return catalog.read_manifest(connection)


def test_migrate_installs_what_the_command_line_does(
    bare_project: Database, server: Any, template: str
) -> None:
    assert "pgqueue.0001_initial" in migrate()
    with psycopg.connect(server.dsn(template)) as connection:
        assert catalog.compare(catalog.read_manifest(connection), manifest(bare_project)) == []
    assert "No migrations to apply" in migrate()
    done = run_cli("schema", "upgrade", dsn=bare_project.dsn)
    assert "nothing to do" in done.stdout


def test_what_the_command_line_has_installed_is_taken_on(bare_project: Database) -> None:
    with bare_project.connect() as connection:
        schema.upgrade(connection)
    bare_project.execute("INSERT INTO pgqueue.jobs (task) VALUES ('kept')")
    migrate()
    assert bare_project.execute("SELECT task FROM pgqueue.jobs") == [("kept",)]


def test_reversed_it_is_gone_unless_jobs_would_be_lost(bare_project: Database) -> None:
    from pgqueue import SchemaError

    migrate()
    bare_project.execute("INSERT INTO pgqueue.jobs (task) VALUES ('waits')")
    with pytest.raises(SchemaError, match="1 ready"):
        migrate("pgqueue", "zero")
    bare_project.execute("SELECT pgqueue.cancel(1)")
    migrate("pgqueue", "zero")
    assert bare_project.execute("SELECT to_regnamespace('pgqueue')") == [(None,)]
    migrate("pgqueue")
    assert bare_project.execute("SELECT to_regclass('pgqueue.jobs') IS NULL") == [(False,)]


def test_it_is_part_of_the_transaction_of_the_migration(bare_project: Database) -> None:
    from django.db import connection, transaction

    from pgqueue.django import install

    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        install.upgrade(connection)
        raise ZeroDivisionError
    assert bare_project.execute("SELECT to_regnamespace('pgqueue')") == [(None,)]


def test_no_migration_is_missing(bare_project: Database) -> None:
    from django.core.management import call_command

    call_command("makemigrations", "pgqueue", check=True, dry_run=True, verbosity=0)


def test_there_is_a_migration_for_each_version_of_the_schema(bare_project: Database) -> None:
    from django.db.migrations.loader import MigrationLoader

    from pgqueue.django.operations import UpgradeSchema

    found = MigrationLoader(None).disk_migrations
    versions = [
        operation.version
        for (label, _), migration in sorted(found.items())
        for operation in migration.operations
        if label == "pgqueue" and isinstance(operation, UpgradeSchema)
    ]
    assert versions == [version.number for version in read_versions()]


def test_sqlmigrate_prints_the_files(bare_project: Database) -> None:
    from django.core.management import call_command

    said = StringIO()
    call_command("sqlmigrate", "pgqueue", "0001", stdout=said)
    assert "CREATE FUNCTION pgqueue.jobs_file()" in said.getvalue()


def test_only_its_own_database_gets_the_schema(project: Database, other_db: Database) -> None:
    from django.test import override_settings

    migrate(database="other")
    assert other_db.execute("SELECT to_regnamespace('pgqueue')") == [(None,)]
    other_db.execute("DELETE FROM django_migrations WHERE app = 'pgqueue'")
    with override_settings(
        PGQUEUE={"DATABASE": "other"}, DATABASE_ROUTERS=["pgqueue.django.Router"]
    ):
        migrate(database="other")
        from pgqueue.django.models import Job

        other_db.execute("INSERT INTO pgqueue.jobs (task) VALUES ('there')")
        assert [job.task for job in Job.objects.all()] == ["there"]
        assert Job.objects.all().db == "other"
    assert Job.objects.count() == 0


def test_without_migrations_the_schema_is_made_at_once(bare_project: Database) -> None:
    from django.test import override_settings

    with override_settings(MIGRATION_MODULES={"pgqueue": None}):
        migrate(run_syncdb=True)
        bare_project.execute("INSERT INTO pgqueue.jobs (task) VALUES ('a')")
        migrate(run_syncdb=True)
    assert bare_project.execute("SELECT count(*) FROM pgqueue.ready_jobs") == [(1,)]


def test_flush_empties_the_queue(bare_project: Database) -> None:
    from django.core.management import call_command

    migrate()
    bare_project.execute("INSERT INTO pgqueue.jobs (task) VALUES ('a'), ('b')")
    bare_project.execute("SELECT pgqueue.pause('mail')")
    bare_project.execute(
        "INSERT INTO pgqueue.schedules (name, task, kind, source, starts_at, done_until) "
        "VALUES ('s', 't', 'every', 'sql', now(), now())"
    )
    # What refers to ours, which TRUNCATE alone would refuse for.
    for name in ("jobs", "schedules"):
        bare_project.execute(f"CREATE TABLE of_{name} (id bigint REFERENCES pgqueue.{name} (id))")
    call_command("flush", interactive=False, verbosity=0)
    assert bare_project.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
    for table in ("queues", "schedules", "ready_jobs"):
        assert bare_project.execute(f"SELECT count(*) FROM pgqueue.{table}") == [(0,)]
    assert bare_project.execute("SELECT count(*) FROM pgqueue.schema_versions") == [(1,)]


#: Tables that nobody but the upgrader looks at; and those without a key, of which only the queue
#: makes something: what is still to be counted, and what is still to be looked at.
NOT_MIRRORED = {
    "schema_versions", "group_deltas", "wait_deltas", "offers", "key_takes", "migrated_rows",
}  # fmt: skip
#: What begins so belongs to the apps of the old queues.
FACADES = ("django_q_", "django_future_", "async_")
TYPES = {
    "bigint": {"BigAutoField", "BigIntegerField", "OneToOneField", "ForeignKey"},
    "integer": {"IntegerField"},
    "smallint": {"SmallIntegerField"},
    "boolean": {"BooleanField"},
    "text": {"TextField"},
    "text[]": {"TextListField"},
    "bigint[]": {"IdListField"},
    "integer[]": {"NumberListField"},
    "jsonb": {"JSONField"},
    "interval": {"SpanField"},
    "timestamp with time zone": {"MomentField"},
    "real": {"FloatField"},
    "double precision": {"FloatField"},
}


def test_models_are_what_the_catalog_says(project: Database) -> None:
    from django.apps import apps

    rows = project.execute(
        "SELECT c.relname, c.relkind = 'v', a.attname, format_type(a.atttypid, -1), a.attnotnull "
        "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = 'pgqueue'::regnamespace AND c.relkind IN ('r', 'v') "
        "AND NOT a.attisdropped"
    )
    catalog: dict[str, dict[str, tuple[str, bool | None]]] = {}
    for table, is_view, column, kind, not_null in rows:
        catalog.setdefault(table, {})[column] = (kind, None if is_view else not_null)
    models = {
        model._meta.db_table.split(".")[1].strip('"'): model
        for model in apps.get_app_config("pgqueue").get_models()
    }
    ours = {name for name in catalog if not name.startswith(FACADES)}
    assert ours - NOT_MIRRORED == set(models)
    for table, model in models.items():
        fields = {field.column: field for field in model._meta.concrete_fields if field.column}
        assert set(fields) == set(catalog[table]), table
        for column, (kind, not_null) in catalog[table].items():
            where = f"{table}.{column}"
            assert type(fields[column]).__name__ in TYPES[kind], where
            if not_null is not None:
                assert fields[column].null is not not_null, where
