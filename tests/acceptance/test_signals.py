"""What a worker does at each signal; none of them loses a job, and few of them end it."""

import os
import re
import signal
from pathlib import Path

from tests.acceptance.support import Jobs, children, closed_gate, descendants, is_running, stop
from tests.fixtures.databases import Database
from tests.fixtures.workers import StartWorker
from tests.helpers import PATIENCE, eventually


def look(jobs: Jobs, job: int) -> tuple[str, int, int, int]:
    found = jobs.look(job)
    return found["state"], found["attempt"], found["lost"], found["crashes"]


def test_quit_ends_it_at_once(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    warm = jobs.add_many(300, "noop")
    running = worker("--processes", "2", "--grace", "600")
    jobs.wait_all(warm)
    with closed_gate(db, 1):
        ran = jobs.add_many(2, "gate", 1)
        jobs.wait_at_gate(1, 2)
        waiting = jobs.add_many(20, "noop")
        below = descendants(running.pid)
        running.process.send_signal(signal.SIGQUIT)
        assert running.process.wait(PATIENCE) == 0, running.log()
        eventually(lambda: not any(map(is_running, below)))
        # Nobody has to find out: what it held is ready again, and costs nothing.
        assert jobs.query("SELECT * FROM pgqueue.workers") == []
        assert jobs.query("SELECT * FROM pgqueue.running_jobs") == []
        assert [look(jobs, job) for job in ran] == [("ready", 1, 1, 0)] * 2
        assert {jobs.look(job)["attempt"] - jobs.look(job)["lost"] for job in waiting} == {0}
        assert jobs.problems() == []
        core = [path.name for path in Path.cwd().glob("core*")]
        assert core == []
    worker("--processes", "2")
    jobs.wait_all([*ran, *waiting])


def test_quit_while_it_is_stopping(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        running = worker("--processes", "1", "--grace", "600")
        jobs.wait_at_gate(1)
        running.process.send_signal(signal.SIGTERM)
        eventually(lambda: "stopping" in running.log())
        running.process.send_signal(signal.SIGQUIT)
        assert running.process.wait(PATIENCE) == 0
        assert look(jobs, job) == ("ready", 1, 1, 0)


def test_an_interrupted_job_is_told_of(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        running = worker("--processes", "1", "--grace", "0.2")
        jobs.wait_at_gate(1)
        assert running.stop() == 0
    assert look(jobs, job) == ("ready", 1, 1, 0)
    assert "WARNING pgqueue.worker 1 jobs did not end in time; they are interrupted" in (
        running.log()
    )
    assert jobs.query("SELECT * FROM pgqueue.workers") == []


def test_signals_that_end_nothing(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "2")
    with closed_gate(db, 1):
        ran = jobs.add_many(2, "gate", 1)
        jobs.wait_at_gate(1, 2)
        before = children(running)
        for number in (
            signal.SIGTTIN, signal.SIGTTOU, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF,
            signal.SIGWINCH, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGCONT,
        ):  # fmt: skip
            os.kill(running.pid, number)
        for pid in descendants(running.pid):
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
                os.kill(pid, number)
        jobs.wait_at_gate(1, 2)
        assert children(running) == before
    jobs.wait_all(ran)
    assert {jobs.look(job)["attempt"] for job in ran} == {1}
    jobs.wait_all(jobs.add_many(20, "noop"))
    stop(running)


def test_stacks(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", "--threads", "2")
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        jobs.wait_at_gate(1)
        running.process.send_signal(signal.SIGUSR1)

        def told() -> None:
            said = running.log()
            assert "stacks of the supervisor, as asked for by SIGUSR1" in said
            # Its tasks, the zygote, and the job in the child.
            assert "heartbeat.py" in said
            assert "in serve" in said
            assert "in pass_gate" in said
            # One after the other, each under its own line.
            assert re.search(r"stacks of the process that forks, \d+:\n(?s:.)* in serve", said)
            assert re.search(r"stacks of child \d+:\n(?s:.)* in pass_gate", said)

        eventually(told)
    jobs.wait(job)
    stop(running)


def test_quiet(db: Database, jobs: Jobs, worker: StartWorker) -> None:
    warm = jobs.add_many(300, "noop")
    running = worker("--processes", "1")
    jobs.wait_all(warm)
    with closed_gate(db, 1):
        job = jobs.add("gate", 1)
        jobs.add_many(50, "gate", 1)
        jobs.wait_at_gate(1)
        running.process.send_signal(signal.SIGUSR2)
        eventually(lambda: "INFO pgqueue.worker quiet" in running.log())
        # What it held and had not begun is given back as it was.
        eventually(lambda: jobs.value("SELECT count(*) FROM pgqueue.running_jobs") == 1)
    jobs.wait(job)
    later = jobs.add_many(5, "noop")
    beats: set[str] = set()

    def beaten() -> bool:
        beats.add(str(jobs.value("SELECT heartbeat_at FROM pgqueue.workers")))
        return len(beats) > 2

    # At each of them it hears that jobs are waiting.
    eventually(beaten)
    assert jobs.states() == {"succeeded": 301, "ready": 55}
    running.process.send_signal(signal.SIGUSR2)
    jobs.wait_all(later)
    eventually(lambda: jobs.states() == {"succeeded": 356})
    assert jobs.query("SELECT DISTINCT attempt FROM pgqueue.finished_jobs") == [{"attempt": 1}]
    running.process.send_signal(signal.SIGUSR2)
    eventually(lambda: running.log().count("worker quiet") == 2)
    assert running.stop() == 0, "a quiet worker can be stopped"


APPLICATION = """
from pgqueue import task
from tests.acceptance.tasks import pass_gate

@task(name="app.version")
def version() -> str:
    return "{version}"

@task(name="app.gate")
def gate() -> str:
    pass_gate(1)
    return "{version}"
"""


def test_hup_imports_the_application_anew(
    db: Database, jobs: Jobs, worker: StartWorker, tmp_path: Path
) -> None:
    module = tmp_path / "reloaded.py"
    module.write_text(APPLICATION.format(version="one"))
    env = {"PYTHONPATH": os.fspath(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    running = worker("--processes", "2", app="reloaded", env=env)
    assert jobs.wait(jobs.add("app.version"))["result"] == "one"
    with closed_gate(db, 1):
        old = jobs.add("app.gate")
        jobs.wait_at_gate(1)
        module.write_text("import not_there_at_all")
        running.process.send_signal(signal.SIGHUP)
        eventually(lambda: "the children that there are go on" in running.log())
        assert "not_there_at_all" in running.log()
        assert jobs.wait(jobs.add("app.version"))["result"] == "one"

        module.write_text(APPLICATION.format(version="two"))
        running.process.send_signal(signal.SIGHUP)
        eventually(lambda: "imported anew; 2 children are replaced" in running.log())

        def renewed() -> bool:
            # The old child that runs a job may go on; jobs beside it meet the new application.
            return bool(jobs.wait(jobs.add("app.version"))["result"] == "two")

        eventually(renewed)
        new = jobs.add("app.gate")
        jobs.wait_at_gate(1, 2)
    assert jobs.wait(old)["result"] == "one"
    assert jobs.wait(new)["result"] == "two"
    # The old children end, and the process that forked them.
    eventually(lambda: len(descendants(running.pid)) == 3)
    rows = jobs.query("SELECT DISTINCT state, attempt, lost FROM pgqueue.finished_jobs")
    assert rows == [{"state": "succeeded", "attempt": 1, "lost": 0}]
    assert not re.search("ERROR(?!.*not_there_at_all)", running.log())
    stop(running)
