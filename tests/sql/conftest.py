"""Fixtures of the SQL tests."""

from typing import Any

import psycopg
import pytest

from tests.fixtures.databases import Database


@pytest.fixture
def c(db: Database) -> "psycopg.Connection[Any]":
    """A connection to the test's database, autocommit."""
    return db.connect()


@pytest.fixture
def writer(db: Database) -> "psycopg.Connection[Any]":
    """A connection in transactions, as business programs have them."""
    return db.connect(autocommit=False)
