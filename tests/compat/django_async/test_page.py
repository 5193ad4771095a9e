"""The page that tells how to move, and what the old manual showed: its examples run."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.django_async.conftest import TASKS
from tests.docs.pages import DOCS, Page
from tests.fixtures.databases import Database

PAGE = Page(path=DOCS / "howto" / "from-django-async.md")


@pytest.fixture
def shop(market: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The names of the page: `django_async` and the app `shop`."""
    from django.conf import settings
    from django.test import override_settings

    from pgqueue.compat import alias, django_async

    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "jobs.py").write_text(
        "def send(*args, **kwargs):\n    return 'sent'\n\n\ndef load(part):\n    return part\n\n\n"
        "def tidy():\n    pass\n\n\ndef function(*args, **kwargs):\n    return args, kwargs\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    django_async.install_as("django_async")
    try:
        with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "shop"]):
            yield
    finally:
        alias.uninstall("django_async")
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]


def test_the_examples_of_the_page_run(shop: None) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_async.models import Job

    (example,) = (one for one in PAGE.blocks("py") if "schedule(" in one.text)
    exec(example.text, {})
    assert Job.objects.exclude(cancelled=None).count() == 1
    ran = [one.task.rpartition(".")[2] for one in here.run(["async"])]
    assert ran == ["load", "load", "load", "remove_old_jobs", "tidy"]


def test_the_sql_of_the_page_runs(market: Database) -> None:
    (example,) = PAGE.blocks("sql")
    market.execute(example.text)
    assert market.execute("SELECT task, args FROM pgqueue.jobs") == [("async:shop.jobs.send", [42])]


def test_the_settings_of_the_page_are_accepted(market: Database) -> None:
    from django.core.checks import run_checks
    from django.test import override_settings

    found = [one.text for one in PAGE.blocks("py") if one.text.startswith("PGQUEUE = ")]
    assert len(found) == 2
    for text in found:
        names: dict[str, Any] = {}
        exec(text, names)
        with override_settings(PGQUEUE=names["PGQUEUE"]):
            assert [one.msg for one in run_checks() if "PGQUEUE" in one.msg] == []


def test_the_line_that_changes_imports_does(tmp_path: Path) -> None:
    text = PAGE.text
    line = next(line for line in text.splitlines() if line.strip().startswith("sed "))
    script = re.search(r"'(.*)'", line.partition("$(git")[0])
    assert script is not None
    old = tmp_path / "old.py"
    old.write_text(
        "from async import schedule\nfrom async.models import Job\n    import async\n"
        "async.schedule(f)\nimport asyncio\nasync def f(): ...\npatch('async.api.health')\n"
    )
    subprocess.run(["sed", "-i", "-E", script[1], str(old)], check=True)
    assert old.read_text() == (
        "from django_async import schedule\nfrom django_async.models import Job\n"
        "    import django_async\ndjango_async.schedule(f)\nimport asyncio\nasync def f(): ...\n"
        "patch('async.api.health')\n"
    )


# The manual of 0.7.3


def test_manual_schedule(shop: None) -> None:
    from django_async import schedule

    job = schedule("shop.jobs.function", args=(1, 2, 3), kwargs=dict(key="value"))  # noqa: C408
    assert job.execute() == ((1, 2, 3), {"key": "value"})


def test_manual_arguments_by_name_in_its_order(shop: None) -> None:
    """`schedule(function, args, kwargs, run_after, meta, priority, group)`"""
    from django.utils import timezone
    from django_async import schedule

    at = timezone.now()
    job = schedule("shop.jobs.function", (), {}, run_after=at, meta={"a": 1}, priority=7, group="g")
    assert (job.scheduled, job.meta, job.priority) == (at, '{"a": 1}', 7)
    assert job.group.reference == "g"


def test_manual_flush_queue(shop: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line of it: by default, `-j 300`, `-w 1 -o 2`, `--which 2 --outof 2`."""
    from django.core.management import call_command

    from pgqueue.compat.django_async import schedule

    jobs = [schedule(f"{TASKS}.nothing") for _ in range(6)]
    call_command("flush_queue", "-j", "1")
    call_command("flush_queue", "--jobs", "1")
    call_command("flush_queue", "-w", "1", "-o", "2")
    call_command("flush_queue", "--which", "2", "--outof", "2")
    call_command("flush_queue", "-f", TASKS)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != "No jobs to execute"] == [
        f"{jobs[n].pk}: {jobs[n]}" for n in (0, 1, *(n for n in (2, 3, 4, 5) if jobs[n].pk % 2),
                                             *(n for n in (2, 3, 4, 5) if not jobs[n].pk % 2))
    ]  # fmt: skip
    assert lines.count("No jobs to execute") == 3


def test_manual_queue_health(shop: None, capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import call_command

    call_command("queue_health")
    call_command("queue_health", "-a", "rough")
    assert capsys.readouterr().out.count('"estimated-completion": 0') == 2
