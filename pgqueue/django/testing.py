"""For the tests of a Django project; `pgqueue.testing` has the same as functions.

from django.test import TestCase
from pgqueue.django.testing import JobsMixin

class OrderTests(JobsMixin, TestCase):
    def test_receipt(self):
        self.client.post("/orders", {"item": 7})
        self.assertEnqueued(send_receipt, args=[Order.objects.get()])
        self.drain_jobs()
        self.assertEqual(len(mail.outbox), 1)
"""

from contextlib import AbstractContextManager
from typing import Any

from django.db import connections

from pgqueue import testing
from pgqueue.core.job import Job
from pgqueue.django import conf, install
from pgqueue.django.models.base import writable_models

__all__ = ["JobsMixin", "writable_models"]


class JobsMixin:
    """Run the jobs of a test and look at them, for TestCase and TransactionTestCase."""

    def drain_jobs(self, queue: str | None = None, **options: Any) -> list[Job]:
        """Run the jobs that are due, in this process; see `pgqueue.testing.drain`."""
        return testing.drain(queue, **options)

    def inline_jobs(self, **options: Any) -> AbstractContextManager[None]:
        """Let each enqueue run its job; see `pgqueue.testing.inline`."""
        return testing.inline(**options)

    def enqueued_jobs(self, task: object = None, **conditions: Any) -> list[Job]:
        """Read what was enqueued; see `pgqueue.testing.enqueued`."""
        return testing.enqueued(task, **conditions)

    def assertEnqueued(self, task: object, **conditions: Any) -> Job:  # noqa: N802
        """Fail unless there is such a job; see `pgqueue.testing.assert_enqueued`."""
        return testing.assert_enqueued(task, **conditions)

    def assertNotEnqueued(self, task: object, **conditions: Any) -> None:  # noqa: N802
        """Fail if there is such a job; see `pgqueue.testing.assert_not_enqueued`."""
        testing.assert_not_enqueued(task, **conditions)

    def _fixture_teardown(self) -> None:
        # With `available_apps` nobody tells us that tables are emptied.
        super()._fixture_teardown()  # type: ignore[misc]
        if getattr(self, "available_apps", None) is not None:
            install.empty(connections[conf.database()])
