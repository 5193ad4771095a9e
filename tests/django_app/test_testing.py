"""What the tests of a Django project get: jobs run inside the transaction of a TestCase."""

import importlib
import os
import subprocess
import sys
import textwrap
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.databases import Database
from tests.helpers import ROOT


@pytest.fixture
def tasks(project: Database) -> Iterator[Any]:
    from tests.django_app.store import tasks

    return importlib.reload(tasks)


def run_case(case: type[unittest.TestCase]) -> None:
    """Run the tests of a class as Django's runner does."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun > 0
    assert [text for _, text in [*result.errors, *result.failures]] == []


def test_in_a_test_case(project: Database, tasks: Any) -> None:
    from django.db import connection, transaction
    from django.test import TestCase

    from pgqueue.django.models import Job
    from pgqueue.django.testing import JobsMixin
    from tests.django_app.store.models import Order, Parcel

    class Tests(JobsMixin, TestCase):
        def setUp(self) -> None:
            self.order = Order.objects.create(total=7)

        def test_jobs_run_in_the_transaction_of_the_test(self) -> None:
            tasks.pay.enqueue(self.order)
            tasks.look.enqueue(self.order)
            tasks.close.enqueue(self.order)
            self.assertEnqueued(tasks.pay, args=[self.order], count=1)
            self.assertNotEnqueued(tasks.pay, args=[Order.objects.create()])
            found = self.drain_jobs()
            assert [job.result for job in found] == [7, 7, True]
            self.order.refresh_from_db()
            assert self.order.paid
            assert project.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
            assert not connection.needs_rollback

        def test_a_statement_that_fails_breaks_its_job_only(self) -> None:
            tasks.break_connection.enqueue()
            tasks.fail_in_statement.enqueue()
            tasks.pay.enqueue(self.order)
            states = [str(job.state) for job in self.drain_jobs(raise_errors=False)]
            assert states == ["failed", "failed", "succeeded"]
            # As it would be without a transaction around it.
            assert Order.objects.filter(pk=self.enqueued_jobs()[1].id).exists()

        def test_tasks_of_djangos_and_inline(self) -> None:
            with self.inline_jobs():
                result = tasks.add.enqueue(2, other=3)
                told = tasks.tell.enqueue("a")
                again = tasks.stumble.enqueue(2)
                looped = tasks.aadd.enqueue(1, 2)
                with pytest.raises(LookupError, match="attempt 3"):
                    tasks.stumble.enqueue(3)
            for one in (result, told, again, looped):
                one.refresh()
            assert result.return_value == 5
            assert told.return_value["attempt"] == 1
            assert again.return_value == 3
            assert looped.return_value == 3
            self.assertEnqueued(tasks.add, kwargs={"other": 3}, state="succeeded")

        def test_what_is_enqueued_in_a_savepoint_is_gone_with_it(self) -> None:
            with transaction.atomic():
                tasks.pay.enqueue(self.order)
                transaction.set_rollback(True)
            assert self.drain_jobs() == []

        def test_an_argument_that_is_gone(self) -> None:
            from pgqueue import ArgumentGoneError

            parcel = Parcel.objects.create(order=self.order)
            tasks.ship.enqueue(self.order, [parcel])
            parcel.delete()
            with pytest.raises(ArgumentGoneError, match=r"store\.parcel"):
                self.drain_jobs()
            job = Job.objects.with_state().get()
            # Not tried again, whatever its max_attempts.
            assert (job.state, job.attempt) == ("failed", 1)
            for policy, state in (("cancel", "cancelled"), ("none", "failed")):
                with self.settings(PGQUEUE={"MISSING_OBJECTS": policy}):
                    job.retry()
                    (found,) = self.drain_jobs(raise_errors=False)
                    assert found.state == state
            assert "NoneType" in str(found.error)

    run_case(Tests)


def test_in_a_transaction_test_case(bare_project: Database) -> None:
    from django.core.management import call_command
    from django.test import TransactionTestCase

    from pgqueue.django.testing import JobsMixin
    from tests.django_app.store import tasks
    from tests.django_app.store.models import Order

    project = bare_project
    importlib.reload(tasks)
    call_command("migrate", verbosity=0, run_syncdb=True)

    class Tests(JobsMixin, TransactionTestCase):
        def test_one(self) -> None:
            self._run()

        def test_two(self) -> None:
            self._run()

        def _run(self) -> None:
            assert project.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]
            order = Order.objects.create(total=3)
            tasks.pay.enqueue(order)
            tasks.close.enqueue(order)
            assert [str(job.state) for job in self.drain_jobs()] == ["succeeded"] * 2
            tasks.whisper.using(run_at="1h").enqueue("left behind")

    run_case(Tests)
    Tests.available_apps = ["pgqueue.django", "tests.django_app.store"]
    run_case(Tests)
    assert project.execute("SELECT count(*) FROM pgqueue.jobs") == [(0,)]


CONFTEST = 'pytest_plugins = ["pgqueue.testing.plugin"]\n'
TESTS = """
    from tests.django_app.store import tasks
    from tests.django_app.store.models import Order


    def test_drained(pgqueue_jobs):
        order = Order.objects.create(total=4)
        tasks.pay.enqueue(order)
        pgqueue_jobs.assert_enqueued(tasks.pay, args=[order])
        assert [job.result for job in pgqueue_jobs.drain()] == [4]


    def test_inline(pgqueue_inline):
        assert tasks.pay.enqueue(Order.objects.create(total=5)).info().result == 5
        assert len(pgqueue_inline.enqueued()) == 1


    def test_committed(transactional_db, pgqueue_jobs):
        tasks.add.enqueue(1)
        assert len(pgqueue_jobs.drain()) == 1


    def test_nothing_is_left(transactional_db, pgqueue_jobs):
        assert pgqueue_jobs.enqueued() == []
"""


@pytest.mark.parametrize("options", [(), ("--nomigrations",)])
def test_with_pytest(options: tuple[str, ...], bare_db: Database, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_them.py").write_text(textwrap.dedent(TESTS))
    (tmp_path / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE=tests.django_app.full\n")
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:xdist", *options],
        cwd=tmp_path,
        env={**environment, "PGQUEUE_DSN": bare_db.dsn, "PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
