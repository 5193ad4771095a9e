"""Fixtures for pytest: `pytest_plugins = ["pgqueue.testing.plugin"]` in the top conftest.py.

In a Django project with pytest-django they bring its `db` with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pgqueue.api.framework import current
from pgqueue.testing.draining import drain
from pgqueue.testing.inline import inline
from pgqueue.testing.looking import assert_enqueued, assert_not_enqueued, enqueued


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of a test; what `pgqueue.testing` has, as methods."""

    drain = staticmethod(drain)
    inline = staticmethod(inline)
    enqueued = staticmethod(enqueued)
    assert_enqueued = staticmethod(assert_enqueued)
    assert_not_enqueued = staticmethod(assert_not_enqueued)


@pytest.fixture
def pgqueue_jobs(request: pytest.FixtureRequest) -> Jobs:
    """Look at the jobs that the test enqueues, and run them."""
    _bring_database(request)
    return Jobs()


@pytest.fixture
def pgqueue_inline(request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """Run every job as it is enqueued."""
    _bring_database(request)
    with inline():
        yield Jobs()


def _bring_database(request: Any) -> None:
    if current() is None:
        return
    given = set(request.fixturenames)
    if not given & {"db", "transactional_db", "django_db_setup"}:
        request.getfixturevalue("db")
