"""The generated pages are current."""

import psycopg

from tests.docs.generate import generated
from tests.docs.pages import Page
from tests.fixtures.databases import Database


def test_generated_pages_are_current(db: Database) -> None:
    with psycopg.connect(db.dsn, autocommit=True) as connection:
        pages = generated(connection)
    stale = [Page(path=path).name for path, text in pages.items() if Page(path=path).text != text]
    assert stale == [], "run: python -m tests.docs.generate --write"
