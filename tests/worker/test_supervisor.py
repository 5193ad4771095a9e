"""The supervisor by itself, where the command line would not let it come."""

import signal
import subprocess
import sys

import pytest

from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.supervisor import Supervisor
from tests.helpers import ROOT

_NOWHERE = "postgresql://nobody@127.0.0.1:1/none"

_RUN = """
import logging, sys
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.supervisor import run
logging.basicConfig(level="INFO", stream=sys.stdout)
run(WorkerConfig(dsn=sys.argv[1], apps=tuple(sys.argv[2:]), processes=1), "test")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_stopped_while_the_database_is_away(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", _RUN, _NOWHERE],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    with process, process.stdout:
        first = process.stdout.readline()
        assert "cannot connect to PostgreSQL" in first
        assert "trying until it works" in first
        process.send_signal(number)
        said = process.stdout.read()
        assert process.wait(10) == 0, said
    assert said.count("\n") == 1, "once for the change of state, once for the end"


def test_it_makes_its_parts_without_opening_anything() -> None:
    made = Supervisor(WorkerConfig(dsn=_NOWHERE), "test")
    assert made.stats.jobs == 0
