"""What finishing and tidying up cost grows with the batch, and not with anything else."""

import json
from typing import Any

import psycopg
import pytest

from tests import factories
from tests.plans.measure import Taker, cost

Connection = psycopg.Connection[Any]


def _simple(ids: list[int]) -> dict[str, Any]:
    """Jobs that succeeded with no result."""
    array = "{" + ",".join(map(str, ids)) + "}"
    return {"batch": 1, "ok": array, "us": array}


def _told(state: str) -> Any:
    """Jobs of which there is more to say."""

    def answer(ids: list[int]) -> dict[str, Any]:
        more = {"us": 5, "result": {"n": 1}, "delay": 3600, "kind": "Error", "message": "no"}
        return {"batch": 1, "rest": [{"id": job_id, "state": state, **more} for job_id in ids]}

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_simple, id="ok"),
        *(
            pytest.param(_told(state), id=state)
            for state in ("succeeded", "failed", "retry", "snoozed", "unstarted", "cancelled")
        ),
    ],
)
def test_finishing_is_linear_in_the_batch(c: Connection, answer: Any) -> None:
    taker = Taker(c)
    ids = factories.jobs(c, 1101)
    c.execute("SELECT pgqueue.work(%s, 1, '{default}', 1101)", (taker.worker_id,))
    query = "SELECT * FROM pgqueue.work(%s, 9, '{default}', 0, %s)"
    a_job = {}
    for batch in (ids[:1], ids[1:101], ids[101:]):
        found = cost(c, query, (taker.worker_id, json.dumps([answer(batch)])))
        a_job[len(batch)] = found.buffers / len(batch)
    assert a_job[1000] < 1.25 * a_job[100] + 1, a_job
    assert a_job[1000] < 20, a_job
    assert c.execute("SELECT count(*) FROM pgqueue.running_jobs").fetchone() == (0,)


def test_the_form_for_people_is_linear_too(c: Connection) -> None:
    taker = Taker(c)
    ids = factories.jobs(c, 1101)
    query = "SELECT * FROM pgqueue.dequeue(%s, max_jobs => %s)"
    taking = {n: cost(c, query, (taker.worker_id, n)).buffers / n for n in (1, 100, 1000)}
    assert taking[1000] < 1.25 * taking[100] + 1, taking
    query = "SELECT pgqueue.finish(%s, %s, array_fill(1, ARRAY[%s]))"
    finishing = {}
    for batch in (ids[:1], ids[1:101], ids[101:]):
        found = cost(c, query, (taker.worker_id, batch, len(batch)))
        finishing[len(batch)] = found.buffers / len(batch)
    assert finishing[1000] < 1.25 * finishing[100] + 1, finishing


@pytest.mark.parametrize("function", ["promote", "expire", "prune", "rescue", "file_strays"])
def test_tidying_up_is_linear_in_the_batch(c: Connection, function: str) -> None:
    worker_id = factories.worker(c, heartbeat_at="2020-01-01", lease="100 years")
    first = factories.jobs(c, 2300, expires_at="2030-01-01", run_at="2030-01-01")[0] - 1
    if function in ("rescue", "prune", "file_strays"):
        c.execute("DELETE FROM pgqueue.scheduled_jobs")
    if function == "rescue":
        c.execute(
            "INSERT INTO pgqueue.running_jobs SELECT id, %s, 1, 'default', 0, 1, 0, 0, 0, now()"
            " FROM pgqueue.jobs",
            (worker_id,),
        )
    elif function == "prune":
        c.execute(
            "INSERT INTO pgqueue.finished_jobs (job_id, state, attempt, finished_at, keep_until)"
            " SELECT id, 'failed', 1, now(), now() FROM pgqueue.jobs"
        )
    query = f"SELECT * FROM pgqueue.{function}(max_jobs => %s, at => '3000-01-01'"
    a_job = {}
    # The first hundred for the catalog and the plans.
    for done, most in ((0, 100), (100, 100), (200, 1000)):
        above = f", above => {first + done}" if function == "file_strays" else ""
        a_job[most] = cost(c, query + above + ")", (most,)).buffers / most
    assert a_job[1000] < 1.25 * a_job[100] + 1, a_job
    assert a_job[1000] < 60, a_job
    c.execute("TRUNCATE pgqueue.jobs")


@pytest.mark.parametrize("function", ["promote", "expire", "prune"])
def test_the_floor_spares_what_was_done_before(c: Connection, function: str) -> None:
    factories.jobs(c, 6000, expires_at="2030-01-01", run_at="2030-01-01")
    if function == "prune":
        c.execute("DELETE FROM pgqueue.scheduled_jobs")
        c.execute(
            "INSERT INTO pgqueue.finished_jobs (job_id, state, attempt, finished_at, keep_until)"
            " SELECT id, 'failed', 1, now(), '2030-01-01' FROM pgqueue.jobs"
        )
    query = f"SELECT * FROM pgqueue.{function}(%s, floor => %s, at => '2031-01-01')"
    with c.transaction():
        # A transaction sees what it deleted as dead, and cannot have it removed.
        reached = None
        for _ in range(7):
            *_, reached = c.execute(query, (1000, reached)).fetchone() or (None,)
        assert reached is not None
        later = "2030-06-01"
        walked = cost(c, query, (1000, None)).buffers
        spared = cost(c, query, (1000, later)).buffers
    assert spared < walked / 2, (walked, spared)
    assert spared < 100
    c.execute("TRUNCATE pgqueue.jobs")
