"""Fixtures of the tests of costs."""

from typing import Any

import psycopg
import pytest

from tests.fixtures.databases import Database


@pytest.fixture
def c(db: Database) -> "psycopg.Connection[Any]":
    """A connection to the test's database, autocommit."""
    return db.connect()
