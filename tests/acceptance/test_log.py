"""What tasks log is in the worker's log, in its form, unless the application logs elsewhere."""

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from pgqueue import task
from tests.acceptance.support import Jobs, stop
from tests.fixtures.workers import StartWorker

_HERE = "tests.acceptance.test_log"


@task
def talk() -> None:
    """Log, in an odd process as well, and leave the directory changed."""
    log = logging.getLogger("shop")
    log.debug("too quiet")
    log.info("parcel %d is packed", 7)
    os.chdir("/")
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        raise ValueError("torn")
    except ValueError:
        log.exception("parcel %d is torn", 8)


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_tasks_log(form: str, jobs: Jobs, worker: StartWorker) -> None:
    running = worker("--processes", "1", *(["--json"] if form == "json" else []), app=_HERE)
    job = jobs.add(f"{_HERE}.talk")
    jobs.wait(job)
    stop(running)
    said = running.log()
    assert "too quiet" not in said
    told = "left the working directory changed; it is as before again"
    if form == "text":
        assert " INFO shop parcel 7 is packed\n" in said
        assert f" WARNING pgqueue.worker job {job} ({_HERE}.talk) {told}\n" in said
        return
    lines = [json.loads(line) for line in said.splitlines()]
    found = {line["message"]: line for line in lines}
    assert found["parcel 7 is packed"]["logger"] == "shop"
    assert found["parcel 8 is torn"]["traceback"].endswith("ValueError: torn")
    assert found[f"job {job} ({_HERE}.talk) {told}"]["level"] == "WARNING"


def test_an_application_that_logs_elsewhere(
    tmp_path: Path, jobs: Jobs, worker: StartWorker
) -> None:
    own = tmp_path / "own.log"
    (tmp_path / "filed.py").write_text(
        "import logging\n"
        f"logging.basicConfig(filename={os.fspath(own)!r}, level='DEBUG')\n"
        "from tests.acceptance.test_log import talk\n"
    )
    running = worker("--processes", "1", app="filed", env={"PYTHONPATH": os.fspath(tmp_path)})
    jobs.wait(jobs.add(f"{_HERE}.talk"))
    stop(running)
    assert "parcel" not in running.log()
    assert "DEBUG:shop:too quiet" in own.read_text()
