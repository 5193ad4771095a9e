"""A worker whose schema is upgraded beyond it ends with one sentence."""

from tests.acceptance.support import Jobs, closed_gate
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import PATIENCE, eventually

_SENTENCE = (
    "pgqueue: the database has schema version 99, which this pgqueue (schema 1) cannot work with; "
    "upgrade pgqueue on this machine"
)
_UPGRADE = "INSERT INTO pgqueue.schema_versions (version, sha256, breaking) VALUES (%s, 'x', %s)"


def test_it_notices_by_itself_and_lets_jobs_end(
    db: Database, jobs: Jobs, worker: StartWorker
) -> None:
    running = worker("--processes", "1", "--heartbeat", "0.2")
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        jobs.wait_at_gate(1, 1)
        jobs.query(_UPGRADE, 98, False)
        jobs.query(_UPGRADE, 99, True)
        eventually(lambda: "stopping: running jobs have 30 s to end" in running.log())
        later = jobs.add("noop")
    assert running.process.wait(PATIENCE) == 4
    assert jobs.state(job) == "succeeded"
    assert jobs.state(later) == "ready"
    assert running.log().splitlines()[-1] == _SENTENCE
    assert "Traceback" not in running.log()
    assert jobs.query("SELECT id FROM pgqueue.workers") == []


def test_a_function_it_needs_is_gone(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1")
    with jobs.connection.transaction():
        jobs.query(_UPGRADE, 99, True)
        jobs.query("ALTER FUNCTION pgqueue.work RENAME TO labour")
    job = jobs.add("noop")
    assert running.process.wait(PATIENCE) == 4
    assert jobs.state(job) == "ready"
    assert running.log().splitlines()[-1] == _SENTENCE
    assert "Traceback" not in running.log()


def test_a_function_is_gone_without_a_new_version(jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1")
    jobs.query("ALTER FUNCTION pgqueue.work RENAME TO labour")
    jobs.add("noop")
    assert running.process.wait(PATIENCE) == 1
    said = running.log().splitlines()[-1]
    assert said.startswith("pgqueue: ")
    assert "pgqueue.work" in said
