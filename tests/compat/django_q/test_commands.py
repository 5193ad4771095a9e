"""The clusters and the commands: how they are shown, started and stopped."""

import datetime as dt
import io
import json
import os
import pty
import re
import signal
import sys
import termios
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import factories
from tests.compat.conftest import SETTINGS, manage
from tests.fixtures.databases import Database
from tests.helpers import ROOT, eventually


def workers(db: Database) -> list[int]:
    """Make three workers: one of all queues, one of ours that runs a job, one of others."""
    with db.connect() as c:
        every = factories.worker(c, "every")
        c.execute("SELECT pgqueue.tell_children(%s, '{11,12}', 3)", (every,))
        ours = c.execute(
            "SELECT pgqueue.register_worker('ours', '{default}', 'box', 77)"
        ).fetchone()
        c.execute("SELECT pgqueue.register_worker('others', '{mail}')")
        lost = factories.worker(c, "lost")
        c.execute("UPDATE pgqueue.workers SET heartbeat_at = '2020-01-01' WHERE id = %s", (lost,))
        assert ours is not None
        # However long a test takes, this one is still starting.
        c.execute("UPDATE pgqueue.workers SET started_at = now() + interval '1 h' WHERE pid = 77")
        factories.running(c, ours[0], queue="default")
    return [every, int(ours[0])]


def test_the_clusters_are_the_workers_of_the_projects_queues(market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.conf import Conf
    from pgqueue.compat.django_q.status import Stat, Status

    assert Stat.get_all() == []
    every, ours = workers(market)
    first, second = Stat.get_all()
    assert (first.worker_id, second.worker_id) == (every, ours)
    assert first.cluster_id == uuid.UUID(int=every)
    assert (first.workers, first.reincarnations, first.status) == ([11, 12], 3, Conf.IDLE)
    assert (second.host, second.pid, second.sentinel, second.pusher) == ("box", 77, 77, 77)
    assert (second.monitor, second.done_q_size, second.task_q_size) == (77, 0, 1)
    assert first.empty_queues()
    assert not second.empty_queues()
    assert first.uptime() >= 0
    assert second.key == f"django_q:default:cluster:{second.cluster_id}"
    assert second.status == Conf.STARTING
    market.execute("UPDATE pgqueue.workers SET started_at = now() - interval '1 min'")
    assert Stat.get(pid=77, cluster_id=second.cluster_id).status == Conf.WORKING
    for wanted in (second.cluster_id, str(second.cluster_id), 77, ours):
        assert Stat.get(wanted).cluster_id == second.cluster_id
    # One that is asked for may serve any queue.
    assert Stat.get(ours + 1).queues == ["mail"]
    unknown = Stat.get(pid=5, cluster_id=uuid.uuid4())
    assert type(unknown) is Status
    assert (unknown.status, unknown.workers, unknown.pid) == (Conf.STOPPED, [], 5)
    with override_settings(Q_CLUSTER={"name": "shop", "ALT_CLUSTERS": {"mail": {}}}):
        assert [stat.queues for stat in Stat.get_all()] == [["*"], ["mail"]]


def test_what_the_monitor_shows(market: Database, capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import call_command

    from pgqueue.compat.django_q.monitor import memory, monitor
    from pgqueue.compat.django_q.tasks import async_task

    every, ours = workers(market)
    async_task("math.floor", 1.5)
    found = monitor(run_once=True)
    assert found is not None
    assert [stat.worker_id for stat in found] == [every, ours]
    text = capsys.readouterr().out
    for word in ("Host", "State", "Pool", "RC", "Up", "box", "Starting", "Queued", "Failures"):
        assert word in text
    call_command("qmonitor", run_once=True)
    assert "Queued" in capsys.readouterr().out
    market.execute("UPDATE pgqueue.workers SET pid = %s", (os.getpid(),))
    assert memory(run_once=True, workers=True) is not None
    text = capsys.readouterr().out
    assert "Sentinel" in text
    assert "NO_PROCESS" in text
    assert re.search(r"Available lowest \(%\): \d+\.\d\d", text)
    call_command("qmemory", run_once=True)
    assert "Total" in capsys.readouterr().out


def test_what_info_prints(market: Database, capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import call_command
    from django.test import override_settings
    from django.utils import timezone

    from pgqueue.compat import django_q
    from pgqueue.compat.django_q.models import Task

    call_command("qinfo", ids=True)
    assert capsys.readouterr().out == "No clusters appear to be running.\n"
    every, ours = workers(market)
    call_command("qinfo", "--ids")
    assert capsys.readouterr().out.split() == [str(uuid.UUID(int=pk)) for pk in (every, ours)]
    for at in range(30):
        now = timezone.now()
        Task.objects.create(
            id=f"{at:032x}", name=str(at), func="f", started=now, stopped=now, success=at > 0
        )
    call_command("qinfo")
    text = capsys.readouterr().out
    assert re.search(r"Clusters\s+2\s+Workers\s+2\s+Restarts\s+3", text)
    assert re.search(r"Queued\s+0\s+Successes\s+29\s+Failures\s+1", text)
    assert re.search(r"Schedules\s+0\s+Tasks/hour\s+1\.21\s+Avg time\s+0\.0000", text)
    words = {"name": "shop", "timeout": 7, "redis": {"password": "secret"}}
    with override_settings(Q_CLUSTER=words):
        call_command("qinfo", "--config")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"VERSION: {'.'.join(map(str, django_q.VERSION))}"
    assert {"PREFIX: shop", "TIMEOUT: 7", "SECRET_KEY: (hidden)", "REDIS: (hidden)"} <= set(lines)
    assert "secret" not in "".join(lines)


def test_a_picture_is_drawn_until_q_is_pressed(
    market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from pgqueue.compat.django_q.screen import watch

    out = io.StringIO()
    drawn: list[int] = []
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)

    def picture() -> str:
        drawn.append(1)
        if len(drawn) == 3:
            os.write(ours, b"q")
        return ("one", "two", "three", "four")[len(drawn) - 1]

    with open(theirs, encoding="ascii") as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        os.write(ours, b"x")
        watch(picture, Console(file=out, force_terminal=True))
        assert termios.tcgetattr(theirs) == before
    os.close(ours)
    assert len(drawn) == 3
    assert "three" in out.getvalue()


def test_a_sentinel_runs_tasks_in_this_process(market: Database) -> None:
    from threading import Event

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.cluster import Sentinel
    from pgqueue.compat.django_q.conf import Conf
    from pgqueue.compat.django_q.status import Stat
    from pgqueue.compat.django_q.tasks import async_task, result

    first = async_task("math.floor", 2.5)
    other = async_task("math.floor", 3.5, cluster="long")
    start, stop = Event(), Event()
    stop.set()
    sentinel = Sentinel(stop, start, cluster_id=uuid.uuid4(), start=False)
    assert sentinel.status() == Conf.STARTING
    stat = Stat(sentinel)
    assert (stat.status, stat.cluster_id) == (Conf.STARTING, sentinel.cluster_id)
    assert (stat.sentinel, stat.queues) == (os.getpid(), ["default"])
    sentinel.start()
    assert sentinel.status() == Conf.STOPPED
    assert (result(first), result(other)) == (2, None)
    Sentinel(stop, start, uuid.uuid4(), broker=get_broker("long"))
    assert result(other) == 3


@pytest.fixture
def handlers() -> Iterator[None]:
    """A cluster takes the signals of the process that makes it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_cluster_is_started_and_stopped(market: Database) -> None:
    """With a real worker, which finds the database of this test, not that of its settings."""
    from django.core.management import call_command
    from django.test import override_settings

    from pgqueue.compat.django_q.brokers import get_broker
    from pgqueue.compat.django_q.cluster import Cluster
    from pgqueue.compat.django_q.conf import Conf
    from pgqueue.compat.django_q.models import Schedule, Task
    from pgqueue.compat.django_q.status import Stat
    from pgqueue.compat.django_q.tasks import async_task
    from tests.compat.project.market.models import Order

    made = async_task("tests.compat.project.market.tasks.order", "a1", cluster="long")
    with override_settings(Q_CLUSTER={"workers": 1}):
        cluster = Cluster(get_broker("long"))
        assert cluster.stat.status == Conf.STOPPED
        try:
            assert cluster.start() == os.getpid()
            assert cluster.is_running
            assert [cluster.is_starting, cluster.is_stopping, cluster.has_stopped] == [False] * 3
            eventually(lambda: Task.objects.filter(id=made, success=True).exists(), 60)
            # It tells of its processes by a sign of life, which may come after that.
            eventually(lambda: cluster.stat.workers, 60)
            stat = cluster.stat
            assert isinstance(stat, Stat)
            assert stat.cluster_id == cluster.cluster_id
            assert cluster.sentinel is not None
            assert stat.sentinel == cluster.sentinel.pid
            assert len(stat.workers) == 1
        finally:
            assert cluster.stop()
        assert cluster.has_stopped
        assert not cluster.stop()
        assert Order.objects.get().number == "a1"
        # And by the command, which waits for its end.
        async_task("tests.compat.project.market.tasks.order", "a2", cluster="renamed")
        Schedule.objects.create(func="math.floor", next_run=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
        with override_settings(Q_CLUSTER={"workers": 1, "name": "renamed"}):
            call_command("qcluster", run_once=True)
        # What has no cluster is of the first, whose name was changed.
        assert market.execute("SELECT queue FROM pgqueue.scheduled_jobs") == [("renamed",)]
    assert [order.number for order in Order.objects.order_by("pk")] == ["a1", "a2"]


@pytest.mark.usefixtures("handlers")
def test_a_cluster_that_cannot_start_says_so(market: Database, monkeypatch: Any) -> None:
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError, match="Q_CLUSTER has no ALT_CLUSTERS; add"):
        call_command("qcluster", cluster_name="long")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.compat.nowhere")
    with pytest.raises(CommandError, match="failed to start: its worker ended with exit code"):
        call_command("qcluster")


def test_the_program_becomes_a_worker_of_one_queue(market_db: Database) -> None:
    words = {"ALT_CLUSTERS": {"long": {"workers": 1, "timeout": 30}}, "workers": 1}
    market_db.execute("SELECT pgqueue.enqueue('tests.compat.project.market.tasks.nothing')")

    done = manage(
        market_db, "qcluster", "--run-once", "-n", "long", TEST_Q_CLUSTER=json.dumps(words)
    )
    assert done.returncode == 0, done.stderr
    assert "queues long, 1 processes" in done.stderr
    assert market_db.execute("SELECT count(*) FROM pgqueue.ready_jobs") == [(1,)]


def test_the_words_of_a_worker(market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q import launching

    words = {
        "name": "shop", "workers": 3, "recycle": 7, "max_rss": 100_000, "log_level": "CRITICAL",
    }  # fmt: skip
    with override_settings(Q_CLUSTER=words):
        assert launching.words(burst=True) == [
            "--app", "pgqueue.compat.django_q.project", "--queues", "shop", "--processes", "3",
            "--log-level", "error", "--max-jobs", "7", "--max-rss", "100000KiB", "--burst",
        ]  # fmt: skip
        assert launching.words("long")[3] == "long"
    found = launching.environment()
    assert found["DJANGO_SETTINGS_MODULE"] == SETTINGS
    assert str(Path(ROOT)) in found["PYTHONPATH"].split(os.pathsep)
    assert "Q_CLUSTER_NAME" not in found
