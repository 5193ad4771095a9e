"""The migrations: over those of the old library, and under those of a project."""

from typing import Any

import pytest

from tests.fixtures.databases import Database


def loader() -> Any:
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    return MigrationLoader(connection)


def test_they_say_what_the_models_are(market: Database) -> None:
    from django.core.management import call_command

    call_command("makemigrations", "django_q", check=True, dry_run=True, verbosity=0)


def test_a_migration_of_the_project_may_depend_on_any(market: Database) -> None:
    state = loader().project_state([("django_q", "0014_schedule_cluster")])
    schedule: Any = state.apps.get_model("django_q", "Schedule")
    made = schedule.objects.create(func="math.floor", args="1", schedule_type="D")
    assert schedule.objects.get(pk=made.pk).cluster is None
    assert market.execute("SELECT home FROM pgqueue.django_q_schedules") == [("default",)]


@pytest.mark.parametrize("last", [0, 7, 14, 19])
def test_after_the_old_library(market: Database, last: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    market.execute(
        "DELETE FROM django_migrations WHERE app = 'django_q' AND left(name, 4)::int > %s", [last]
    )
    market.execute(
        "DELETE FROM django_migrations WHERE app IN ('pgqueue', 'async', 'django_future')"
    )
    loader().check_consistent_history(connection)
    call_command("migrate", verbosity=0)
    assert not loader().graph.leaf_nodes("django_q")[1:]
    applied = market.execute("SELECT name FROM django_migrations WHERE app = 'django_q'")
    assert len(applied) == 20
    assert ("0020_pgqueue",) in applied


def test_the_schema_stays_when_they_are_taken_back(market: Database) -> None:
    from django.core.management import call_command

    call_command("migrate", "django_q", "zero", verbosity=0)
    assert market.execute("SELECT to_regclass('pgqueue.django_q_tasks') IS NOT NULL") == [(True,)]
    call_command("migrate", "django_q", verbosity=0)


def test_the_models_are_what_the_catalog_says(market: Database) -> None:
    from pgqueue.compat.django_q.models import OrmQ, Schedule, Task

    for model in (Task, Schedule, OrmQ):
        meta: Any = model._meta
        table = meta.db_table.replace('"', "")
        found = market.execute(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped",
            [table],
        )
        # An instance would write back the job of a schedule that it was read with.
        assert {name for (name,) in found} - {"job_id"} == {
            field.column for field in meta.concrete_fields
        }
