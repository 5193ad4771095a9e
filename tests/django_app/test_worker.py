"""A worker of a Django project, and the rest of `manage.py pgqueue`."""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.databases import Database
from tests.fixtures.workers import RunningWorker, StartWorker
from tests.helpers import ROOT, eventually

MANAGE = ROOT / "tests" / "django_app" / "manage.py"
Start = Callable[..., RunningWorker]


@pytest.fixture
def tasks(project: Database) -> Any:
    from tests.django_app.store import tasks

    return importlib.reload(tasks)


@pytest.fixture
def start(project: Database, tmp_path: Path) -> Iterator[Start]:
    """Start `manage.py pgqueue worker`, from another folder than the project's."""
    started: list[RunningWorker] = []

    def start_one(*options: str, manage: Path = MANAGE, **env: str) -> RunningWorker:
        log = tmp_path / f"worker-{len(started)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, os.fspath(manage), "pgqueue", "worker", *options],
                cwd=tmp_path,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PGQUEUE_DSN": project.dsn, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(RunningWorker(process, log))
        return started[-1]

    yield start_one
    for running in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.process.wait()


@pytest.fixture
def quick(worker: StartWorker) -> Start:
    """Start a worker of the project, what `manage.py` becomes: without the way to there."""

    def start_one(*options: str, **env: str) -> RunningWorker:
        found = {"DJANGO_SETTINGS_MODULE": "tests.django_app.full", **env}
        return worker(*options, app="pgqueue.django.project", env=found)

    return start_one


def result_of(job: Any, running: RunningWorker) -> Any:
    def over() -> bool:
        assert running.process.poll() is None, running.log()
        return job.info().is_final

    eventually(over, 60)
    assert job.state() == "succeeded", f"{job.info().error}\n{running.log()}"
    return job.info().result


def manage(project: Database, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, os.fspath(MANAGE), *arguments],
        env={**os.environ, "PGQUEUE_DSN": project.dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_worker(project: Database, tasks: Any, start: Start) -> None:
    from tests.django_app.store.models import Order, Parcel

    queues = '{"QUEUES": {"mail": {"retention": "3d"}}}'
    running = start("--processes", "1", "--name", "ours", TEST_PGQUEUE=queues)
    order = Order.objects.create(total=12)
    parcel = Parcel.objects.create(order=order)
    # Model instances; what the task writes; the finish in the same transaction; the event loop.
    assert result_of(tasks.pay.enqueue(order), running) == 12
    assert Order.objects.get().paid
    assert result_of(tasks.ship.enqueue(order, [parcel]), running) == [str(parcel.key)]
    assert result_of(tasks.close.enqueue(order), running) is True
    assert result_of(tasks.look.enqueue(order), running) == 12
    # The language of the project, whatever the job before has left.
    assert [result_of(tasks.speak.enqueue(), running) for _ in "ab"] == [["Ja", "Oui"]] * 2
    # What a task enqueues goes over Django's connection as well.
    assert result_of(tasks.follow.enqueue(order, 2), running) is None
    count = "SELECT count(*) FROM pgqueue.finished_jobs"
    eventually(lambda: project.execute(count) == [(9,)], 60)
    # The settings of queues were written down at the start.
    query = "SELECT name, retention_succeeded = '3 days' FROM pgqueue.queues"
    assert project.execute(query) == [("mail", True)]
    # What it says is printed, by the level that was asked for.
    result_of(tasks.whisper.enqueue("swordfish"), running)
    eventually(lambda: "INFO store the word is swordfish" in running.log())
    # The supervisor is the process that was started, and holds nothing of the project.
    [(pid, name)] = project.execute("SELECT pid, name FROM pgqueue.workers")
    assert (pid, name) == (running.pid, "ours")
    maps = Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")
    assert b"pgqueue.django.project" in maps
    # The password, or any other part of the DSN, is in no command line.
    assert not [word for word in maps if b"dbname" in word or b"://" in word]
    assert running.stop() == 0
    assert "WARNING" not in running.log()


def test_batch_tasks(project: Database, tasks: Any, quick: Start) -> None:
    import pgqueue
    from tests.django_app.store.models import Order

    orders = [Order.objects.create(total=n) for n in range(3)]
    totals = [tasks.total.enqueue(order) for order in orders]
    orders[1].delete()
    # Of a module that no worker has imported when the first of these comes.
    name = "tests.django_app.store.elsewhere.sizes"
    sizes = [pgqueue.default_app().enqueue(name, [n]) for n in range(3)]
    running = quick("--processes", "1")
    assert [result_of(job, running) % 100 for job in sizes] == [0, 1, 2]
    assert [result_of(totals[n], running) for n in (0, 2)] == [0, 2]
    eventually(lambda: totals[1].state() == "failed", 60)
    assert totals[1].errors()[0].kind == "ArgumentGone"


def test_connections_around_each_job(project: Database, tasks: Any, quick: Start) -> None:
    from django.db import connections

    from tests.django_app.store.models import Order

    running = quick("--processes", "1")
    first = result_of(tasks.backend_pid.enqueue(), running)
    # CONN_MAX_AGE is 0: closed after each job, as after a request.
    eventually(
        lambda: (
            project.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [first])
            == [(0,)]
        )
    )
    assert result_of(tasks.backend_pid.enqueue(), running) != first
    assert running.stop() == 0

    kept = quick("--processes", "1", TEST_CONN_MAX_AGE="600", TEST_HEALTH="1")
    first = result_of(tasks.backend_pid.enqueue(), kept)
    assert result_of(tasks.backend_pid.enqueue(), kept) == first
    order = Order.objects.create(total=3)
    for lose in (tasks.backend_pid, tasks.look):
        # The server ends it between two jobs; nobody notices.
        connections.close_all()
        project.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = '' AND state = 'idle' "
            "AND pid <> pg_backend_pid()"
        )
        job = lose.enqueue(order) if lose is tasks.look else lose.enqueue()
        result_of(job, kept)
    assert kept.stop() == 0

    pooled = quick("--processes", "1", "--threads", "2", TEST_POOL="1")
    first = result_of(tasks.backend_pid.enqueue(), pooled)
    assert result_of(tasks.backend_pid.enqueue(), pooled) == first
    assert result_of(tasks.close.enqueue(order), pooled) is True
    assert pooled.stop() == 0


def test_it_does_not_start_when_a_check_fails(start: Start) -> None:
    running = start(TEST_PGQUEUE='{"DATABSE": "default"}')
    assert running.process.wait(100) == 2
    assert "pgqueue.E002" in running.log()
    assert "did you mean 'DATABASE'" in running.log()


def test_reload(project: Database, start: Start, tmp_path: Path) -> None:
    import pgqueue

    folder = tmp_path / "site"
    app = folder / "board"
    app.mkdir(parents=True)
    (app / "__init__.py").write_text("")
    module = app / "tasks.py"
    source = "from pgqueue import task\n\n@task\ndef answer():\n    return {!r}\n"
    module.write_text(source.format("old"))
    (folder / "manage.py").write_text(MANAGE.read_text())
    running = start(
        "--processes", "1", "--reload",
        manage=folder / "manage.py",
        PYTHONPATH=os.fspath(ROOT),
        TEST_APPS="board",
    )  # fmt: skip
    app_of_tests = pgqueue.default_app()

    def answer() -> Any:
        return result_of(app_of_tests.enqueue("board.tasks.answer"), running)

    assert answer() == "old"
    module.write_text("this is no Python")
    eventually(lambda: "the children that there are go on" in running.log(), 60)
    assert answer() == "old"
    module.write_text(source.format("new one"))
    eventually(lambda: answer() == "new one", 60)
    assert running.stop() == 0


def test_the_command(project: Database, tasks: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import execute_from_command_line

    def here(*words: str) -> tuple[Any, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            execute_from_command_line(["manage.py", "pgqueue", *words])
        said = capsys.readouterr()
        return (ended.value.code, said.out, said.err)

    tasks.whisper.enqueue("a")
    done = manage(project, "pgqueue", "jobs", "list", "--json", "--settings=tests.django_app.full")
    assert done.returncode == 0, done.stderr
    [job] = json.loads(done.stdout)
    assert job["task"] == "tests.django_app.store.tasks.whisper"
    code, out, err = here("jobs", "show", "99")
    assert (code, out) == (1, "")
    assert "no job 99" in err
    code, out, _ = here("--help")
    assert code == 0
    assert "worker" in out
    code, _, err = here("wrker")
    assert code == 2
    assert "did you mean 'worker'" in err


def test_call_command(project: Database, tasks: Any) -> None:
    from io import StringIO

    from django.core.management import CommandError, call_command

    said = StringIO()
    call_command("pgqueue", "health", "--json", stdout=said)
    assert json.loads(said.getvalue())["status"] == "ok"
    with pytest.raises(CommandError, match="exit code 1") as raised:
        call_command("pgqueue", "jobs", "show", "99", stdout=StringIO())
    assert raised.value.returncode == 1


def test_without_settings(project: Database) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-m", "pgqueue", "worker", "--app", "pgqueue.django.project"],
        env={**environment, "PGQUEUE_DSN": project.dsn},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "DJANGO_SETTINGS_MODULE must name the settings of the project" in done.stderr
