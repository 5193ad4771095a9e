"""A migrator that is killed leaves nothing, at whichever step; the next one does all of it."""

import subprocess
import sys

import pytest

from pgqueue.db import catalog, schema, sqlfiles
from tests.fixtures.databases import Database
from tests.helpers import ROOT

#: An upgrade to each step of well over a hundred costs as much as fifty whole ones.
_STRIDE = 10


@pytest.mark.timeout(400)
def test_a_migrator_is_killed_at_many_steps(bare_db: Database, db: Database) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.db.migrator", bare_db.dsn, str(_STRIDE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = [tuple(map(int, line.split())) for line in ended.stdout.splitlines()]
    files = sum(len(version.files) for version in sqlfiles.read_versions())
    steps = range(1, files + 1, _STRIDE)
    # One more than there are steps: that one is not killed.
    assert rows == [*((step, 9, 0) for step in steps), (steps[-1] + _STRIDE, 0, 1)]
    with bare_db.connect() as one, db.connect() as other:
        assert schema.verify(one) == []
        assert catalog.read_manifest(one) == catalog.read_manifest(other)
        assert schema.upgrade(one).applied == ()
