"""The project that came from the old libraries, inside the test's process, on the test's database.

Django is set up once in a process, with the settings of the other project of these tests; those of
this one are put over them for a test, and its apps in the place of the others.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.django_app.conftest import _project
from tests.fixtures.databases import Database, _create, _drop, settle
from tests.helpers import ROOT, run_cli

#: Of programs that a test starts.
SETTINGS = "tests.compat.project.settings"

_admin: dict[Any, Any] = {}


@contextlib.contextmanager
def _market(database: Database, **settings: Any) -> Iterator[None]:
    """Put this project in the place of the other, with all that its apps set up for the process."""
    with _project(database):
        from django.contrib import admin
        from django.contrib.contenttypes.models import ContentType
        from django.core.cache import caches
        from django.test import override_settings

        from pgqueue.api.decorating import registry
        from tests.compat.project import settings as ours

        words = {name: getattr(ours, name) for name in dir(ours) if name.isupper()}
        # Connections keep the settings they were made with.
        del words["DATABASES"]
        finders, pages = dict(registry._finders), dict(admin.site._registry)
        admin.site._registry.clear()
        # Pages of apps that both projects have are registered once in a process.
        admin.site._registry.update(
            {model: page for model, page in pages.items() if model._meta.app_label == "pgqueue"}
        )
        admin.site._registry.update(_admin)
        with override_settings(**words, **settings):
            _admin.update(admin.site._registry)
            ContentType.objects.clear_cache()
            caches["default"].clear()
            os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
            try:
                yield
            finally:
                os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_app.full"
                ContentType.objects.clear_cache()
                registry._finders = finders
                admin.site._registry.clear()
                admin.site._registry.update(pages)


@pytest.fixture(scope="session")
def market_template(server: Any, template: str) -> str:
    """Name of a database with all the tables of the project, to be cloned."""
    database = _create(server, template)
    with _market(database):
        from django.core.management import call_command
        from django.db import connection

        from tests.compat.project.market.models import Order

        call_command("migrate", verbosity=0)
        with connection.schema_editor() as editor:
            editor.create_model(Order)
    settle(server, database.name)
    return database.name


@pytest.fixture
def market_db(server: Any, market_template: str) -> Iterator[Database]:
    """A database of this test with all the tables of the project; for programs."""
    database = _create(server, market_template)
    yield database
    try:
        problems = database.problems()
        assert problems == [], f"the test left its database inconsistent: {problems}"
    finally:
        _drop(database)


@pytest.fixture
def market(market_db: Database) -> Iterator[Database]:
    """The project, set up in this process on a database of this test."""
    with _market(market_db):
        yield market_db


@pytest.fixture(scope="module")
def shared_market(server: Any, market_template: str) -> Iterator[Database]:
    """The same for all tests of a module that hardly need a database; not beside `market`."""
    database = _create(server, market_template)
    with _market(database):
        yield database
    _drop(database)


def manage(database: Database, *words: str, **env: str) -> Any:
    """Run manage.py of the project to its end; gives what it wrote and its exit code."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return subprocess.run(
        [sys.executable, str(ROOT / "tests/compat/project/manage.py"), *words],
        env={
            **environment,
            "PYTHONPATH": os.fspath(ROOT),
            "PGQUEUE_DSN": database.dsn,
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            **env,
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def worker(database: Database, *words: str, **env: str) -> Any:
    """Run `python -m pgqueue worker --burst` over the project to its end."""
    return run_cli(
        "worker", "--app", "pgqueue.django.project", "--burst", "--processes", "1", *words,
        dsn=database.dsn, env={"DJANGO_SETTINGS_MODULE": SETTINGS, **env},
    )  # fmt: skip
