"""What a job leaves of a transaction in Django's connection, the next one does not find."""

import pytest

from tests.acceptance.support import Jobs, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker

APP = "tests.django_app.leftover_tasks"


@pytest.mark.parametrize("how", ["atomic", "aborted", "autocommit off", "by hand"])
def test_a_transaction_left_open(how: str, db: Database, worker: StartWorker) -> None:
    jobs = Jobs(db.dsn)
    jobs.make_notes()
    running = worker("--processes", "1", app=APP)
    left = jobs.add(f"{APP}.leave", how)
    jobs.wait(left, timeout=60)
    assert jobs.wait(jobs.add(f"{APP}.use"))["result"] == [False, True]
    assert jobs.notes() == ["well"]
    assert f"job {left} ({APP}.leave) left a transaction open" in running.log()
    jobs.close()
    stop(running)
