"""Progress and logs of tasks, seen from outside while they run and after they have ended."""

from tests.acceptance.support import Jobs, closed_gate
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import eventually

LOGS = "SELECT level, message FROM pgqueue.job_logs WHERE job_id = %s ORDER BY attempt, n"
PROGRESS = "SELECT fraction, note FROM pgqueue.job_progress WHERE job_id = %s"


def test_what_a_task_says_is_seen_at_once_and_kept(
    jobs: Jobs, worker: StartWorker, db: Database
) -> None:
    with closed_gate(db, 1) as gate:
        job = jobs.add("report", 1)
        worker("--processes", "1", "--threads", "1")
        eventually(lambda: jobs.query(LOGS, job) == [{"level": "info", "message": "began"}])
        eventually(
            lambda: (
                jobs.query(PROGRESS, job) == [{"fraction": 0.5, "note": "half\u2400way \\ud800"}]
            )
        )
        assert jobs.state(job) == "running"
        gate.open()
        assert jobs.wait(job)["result"] == "reported"
    assert [row["message"] for row in jobs.query(LOGS, job)] == ["began", "goes on"]
    assert jobs.query(PROGRESS, job) == [{"fraction": 1, "note": None}]
    atomic = jobs.add("report_atomically")
    jobs.wait(atomic)
    eventually(lambda: jobs.query(LOGS, atomic) == [{"level": "info", "message": "at last"}])
    chatty = jobs.add("chatter", 5000)
    assert jobs.wait(chatty)["result"] == 5000
    assert len(jobs.query(LOGS, chatty)) == 500
    assert jobs.query(PROGRESS, chatty)[0]["note"] == "4999"
