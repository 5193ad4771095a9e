"""A Django project inside the test's process, on the database of the test."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.fixtures.databases import Database


def _point(alias: str, database: Database) -> None:
    from django.db import connections

    found = conninfo_to_dict(database.dsn)
    connection = connections[alias]
    connection.close()
    names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
    for key, name in names.items():
        connection.settings_dict[key] = str(found.get(name, ""))


@contextlib.contextmanager
def _project(database: Database) -> Iterator[None]:
    """Set Django up once; take back after each test what its apps have set up for the process."""
    variable = "DJANGO_SETTINGS_MODULE"
    before, os.environ[variable] = os.environ.get(variable), "tests.django_app.full"
    import django
    from asgiref.sync import sync_to_async
    from django.utils import translation

    from pgqueue.api import atomic, default, framework
    from pgqueue.api.decorating import registry
    from pgqueue.core import tagged

    held = (list(default._apps), list(atomic._makers), list(framework._frameworks))
    tasks, writers, readers = (
        dict(registry._tasks),
        tagged._SUBCLASS_WRITERS,
        dict(tagged._READERS),
    )
    from django.apps import apps

    if not apps.ready:
        django.setup()
    else:
        apps.get_app_config("pgqueue").ready()
    from django.db import connections

    _point("default", database)
    try:
        yield
    finally:
        # Programs that other tests start have settings of their own.
        del os.environ[variable]
        if before is not None:
            os.environ[variable] = before
        # A request may have chosen a language for this thread.
        translation.deactivate()
        connections.close_all()
        # And those of the thread in which coroutines have them.
        asyncio.run(sync_to_async(connections.close_all)())
        default._apps[:], atomic._makers[:], framework._frameworks[:] = held
        registry._tasks.clear()
        registry._tasks.update(tasks)
        tagged._SUBCLASS_WRITERS = writers
        tagged._READERS.clear()
        tagged._READERS.update(readers)


@pytest.fixture
def bare_project(bare_db: Database) -> Iterator[Database]:
    """A project whose database is empty."""
    with _project(bare_db):
        yield bare_db


@pytest.fixture
def project(db: Database) -> Iterator[Database]:
    """A project whose database has the schema of the queue and the tables of the shop."""
    with _project(db):
        from django.db import connection

        from tests.django_app.store.models import Hidden, Order, Parcel

        with connection.schema_editor() as editor:
            for model in (Order, Parcel, Hidden):
                editor.create_model(model)
        yield db


@pytest.fixture
def other_db(project: Database) -> Iterator[Any]:
    """The alias `other`, on a second database without the schema."""
    from django.db import connections

    from tests.fixtures.databases import _drop, create_database

    found = create_database(project.server)
    _point("other", found)
    yield found
    connections["other"].close()
    _drop(found)
