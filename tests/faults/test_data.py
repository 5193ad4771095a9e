"""Data that hurts is refused with a clear error or arrives exactly, and its neighbours run."""

import pytest

from tests.faults.corpus import data
from tests.fixtures.databases import Database


@pytest.mark.timeout(400)
def test_every_item_is_refused_clearly_or_arrives_exactly(db: Database) -> None:
    found = data.run(db)
    assert [one for one in found if not one.ok] == []
    assert len(found) >= 150
