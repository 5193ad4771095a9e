"""Fixtures of the acceptance tests."""

from collections.abc import Iterator

import pytest

from tests.acceptance.support import Jobs
from tests.fixtures.databases import Database


@pytest.fixture
def jobs(db: Database) -> Iterator[Jobs]:
    """The jobs of the test's database."""
    found = Jobs(db.dsn)
    yield found
    found.close()
