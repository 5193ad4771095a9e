"""Django's own tests of its Tasks framework, run against our backend.

    python -m tests.django_app.conformance path/to/django-source

They are not ours, so they are read from a source distribution of the Django that is installed.
What they ask of the backends that come with Django is asked of ours instead: of one that stores, in
the place of the dummy one, and of one that runs each job inline, in the place of the immediate one.
"""

import argparse
import os
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from pgqueue.db import schema
from tests.fixtures.databases import create_database, start_server

#: What cannot hold, and why.
LEFT_OUT: Final = {
    "DummyBackendTestCase.test_refresh_result": "changes the dummy backend's list",
    "DummyBackendTestCase.test_refresh_result_async": "changes the dummy backend's list",
    "ImmediateBackendTestCase.test_cannot_get_result": "ours can",
    "ImmediateBackendTestCase.test_cannot_refresh_result": "ours can",
    "ImmediateBackendTestCase.test_cannot_pass_run_after": "ours can",
    "TaskTestCase.test_refresh_result": "changes the dummy backend's list",
}


def main() -> int:
    """Run them; gives how many did not pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder of Django's source distribution")
    parser.add_argument("-v", "--verbose", action="store_true")
    words = parser.parse_args()
    sys.path.insert(0, os.fspath(words.source / "tests"))
    with start_server(os.environ.get("PGQUEUE_TEST_POSTGRES") or None) as server:
        database = create_database(server)
        schema.upgrade(database.connect())
        found = conninfo_to_dict(database.dsn)
        set_up(found)
        suite = unittest.defaultTestLoader.loadTestsFromNames(
            [f"tasks.{path.stem}" for path in sorted((words.source / "tests/tasks").glob("test_*"))]
        )
        wanted = unittest.TestSuite(test for test in _each(suite) if _name(test) not in LEFT_OUT)
        result = unittest.TextTestRunner(verbosity=1 + words.verbose).run(wanted)
        print("left out:", *(f"{name}: {why}" for name, why in LEFT_OUT.items()), sep="\n  ")
        from django.db import connections

        connections.close_all()
        database.close()
    return len(result.failures) + len(result.errors)


def set_up(found: dict[str, Any]) -> None:
    """Configure Django, and put our backends where its own are looked for."""
    from django.conf import settings

    settings.configure(
        SECRET_KEY="only for tests",
        USE_TZ=True,
        INSTALLED_APPS=["pgqueue.django", "tasks"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": found["dbname"],
                "USER": found.get("user", ""),
                "HOST": found.get("host", ""),
                "PORT": found.get("port", ""),
            }
        },
    )
    # Async tests ask their backend without await, as the dummy one may be asked.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    import django
    from django import test

    django.setup()
    from django.tasks.backends import dummy, immediate

    dummy.DummyBackend, immediate.ImmediateBackend = backends()
    test.SimpleTestCase = type("SimpleTestCase", (test.TransactionTestCase,), {})


def backends() -> tuple[Any, Any]:
    """Give a backend that stores, and one that runs each job inline."""
    from pgqueue.django import PgQueueBackend
    from pgqueue.django.models import Job
    from pgqueue.django.models.base import writable_models
    from pgqueue.testing import drain

    class Storing(PgQueueBackend):
        @property
        def results(self) -> list[Any]:
            return [self.get_result(str(job.pk)) for job in Job.objects.order_by("pk")]

        def clear(self) -> None:
            with writable_models():
                Job.objects.all().delete()

    class Running(PgQueueBackend):
        def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
            result = super().enqueue(task, args, kwargs)
            drain(raise_errors=False)
            found = self.get_result(result.id)
            for name in ("status", "started_at", "finished_at", "last_attempted_at", "errors"):
                object.__setattr__(result, name, getattr(found, name))
            object.__setattr__(result, "worker_ids", found.worker_ids)
            object.__setattr__(result, "_return_value", found._return_value)
            return result

    return Storing, Running


def _each(suite: Any) -> Iterator[Any]:
    if isinstance(suite, unittest.TestSuite):
        for inner in suite:
            yield from _each(inner)
    else:
        yield suite


def _name(test: Any) -> str:
    return ".".join(test.id().split(".")[-2:])


if __name__ == "__main__":
    sys.exit(main())
