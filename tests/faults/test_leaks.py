"""A worker holds no more after many jobs, a fifth of them failing, than after a few."""

import pytest

from tests.acceptance.support import Jobs
from tests.faults import leaks
from tests.faults.corpus.rig import working
from tests.fixtures.databases import Database


@pytest.mark.timeout(400)
def test_a_worker_holds_what_it_held(db: Database) -> None:
    jobs = Jobs(db.dsn)
    with working(db.dsn, leaks.APP, *leaks.OPTIONS) as worker:
        early, late = leaks.measure(jobs, worker, 5_000)
        assert worker.stop(60) == 0, worker.log()
    assert jobs.states()["failed"] == 1_000
    jobs.close()
    assert early.countable() == late.countable()
