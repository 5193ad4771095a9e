"""The process that is forked for the first zygote, before anything is open."""

import subprocess
import sys

import pytest

from tests.fixtures.databases import Database
from tests.helpers import ROOT, run_cli

_RUN = """
import logging, os, signal, sys, threading
from pgqueue.worker import nursery, seed, supervisor
from pgqueue.worker.config import WorkerConfig

logging.basicConfig(level="INFO", stream=sys.stdout)
{before}
seed.plant()
{after}
anew = nursery.Nursery._start_anew
def start_anew(self):
    print("from nothing")
    return anew(self)
nursery.Nursery._start_anew = start_anew
config = WorkerConfig(
    dsn=sys.argv[1], apps=("tests.acceptance.tasks",), processes=1, burst=True
)
supervisor.run(config, "test")
"""


@pytest.mark.parametrize(
    ("before", "after", "anew"),
    [
        ("", "", 0),
        # Somebody has killed it meanwhile; its end is awaited, lest it were woken before.
        ("", "os.kill(seed._planted[0].pid, signal.SIGKILL)\nos.waitid(os.P_PID, "
             "seed._planted[0].pid, os.WEXITED | os.WNOWAIT)", 1),
        # What other threads hold would be held for ever.
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "", 1),
    ],
    ids=["sound", "killed", "threads"],
)  # fmt: skip
def test_where_the_first_zygote_comes_from(
    db: Database, before: str, after: str, anew: int
) -> None:
    [[job]] = db.execute("SELECT pgqueue.enqueue('tests.acceptance.tasks.noop')")
    done = subprocess.run(
        [sys.executable, "-c", _RUN.format(before=before, after=after), db.dsn],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("from nothing") == anew
    assert done.stderr == ""
    states = db.execute("SELECT state FROM pgqueue.finished_jobs WHERE job_id = %s", (job,))
    assert states == [("succeeded",)]


def test_a_program_that_starts_no_worker_leaves_none() -> None:
    # It would hold the pipe open that is read to its end here.
    ended = run_cli("worker", dsn="postgresql://nobody@127.0.0.1:1/none", timeout=30)
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1, ended.stderr
