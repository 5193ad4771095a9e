"""Every example and every rule of the manual of django-future 0.1.7, word for word.

The examples name a project `myproject`, which is made here, and import `django_future`, which the
alias serves.
"""

import datetime
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.django_future.conftest import seconds, statuses

HANDLERS = """
calls = []


def dosomething():
    calls.append("dosomething")


def broken():
    raise ValueError("broken")


def writes_and_breaks():
    from tests.compat.project.market.models import Order

    Order.objects.create(number="1")
    raise ValueError("broken")
"""
X = """
calls = []


def x(*args, **kwargs):
    calls.append((args, kwargs))
    return len(calls)
"""


@pytest.fixture
def manual(future: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What the reader of the manual has: the package under its old name, and a project."""
    import sys

    from django.conf import settings
    from django.test import override_settings

    from pgqueue.compat import alias

    app = tmp_path / "myproject" / "myapp"
    app.mkdir(parents=True)
    (tmp_path / "myproject" / "__init__.py").write_text("")
    (app / "__init__.py").write_text(X)
    (app / "handlers.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(tmp_path)
    future.install_as()
    # The one line that the dotted paths need; an installed app needs none.
    ours = {**settings.PGQUEUE, "ALLOW": ["myproject.myapp.*", "myproject.myapp.handlers.*"]}
    with override_settings(PGQUEUE=ours):
        yield future
    alias.uninstall("django_future")
    for name in [name for name in sys.modules if name.startswith("myproject")]:
        del sys.modules[name]


def say(text: str, **names: Any) -> dict[str, Any]:
    """Run an example of the manual; gives the names that it leaves."""
    exec(textwrap.dedent(text), names)
    return names


def called() -> Any:
    import importlib

    return importlib.import_module("myproject.myapp").calls


def test_usage(manual: Any) -> None:
    import importlib

    say(
        """
        from django_future import schedule_job
        import datetime

        schedule_job(datetime.datetime(2010, 10, 10),
                     'myproject.myapp.handlers.dosomething')
        """
    )
    handlers = importlib.import_module("myproject.myapp.handlers")
    # More than a week ago: it is not run by accident.
    manual.run_jobs()
    assert (handlers.calls, statuses()) == ([], ["expired"])
    manual.ScheduledJob.objects.update(status="scheduled")
    manual.run_jobs(now=datetime.datetime(2010, 10, 10))
    assert (handlers.calls, statuses()) == (["dosomething"], ["complete"])


def test_running_jobs(manual: Any) -> None:
    from django.core.management import call_command

    from tests.compat.project.market.models import Order

    names = say("from django_future import schedule_job")
    names["schedule_job"]("-2h", "myproject.myapp.handlers.dosomething")
    names["schedule_job"]("-1h", "myproject.myapp.handlers.writes_and_breaks")
    names["schedule_job"]("0h", "myproject.myapp.handlers.dosomething")
    # The processor aborts and shows the traceback, which is stored as well. The transaction of
    # the handler is rolled back.
    with pytest.raises(ValueError, match="broken"):
        call_command("runscheduledjobs")
    assert statuses() == ["complete", "failed", "scheduled"]
    failed = manual.ScheduledJob.objects.get(status="failed")
    assert failed.error.splitlines()[-1] == "ValueError: broken"
    assert not Order.objects.exists()
    # -d deletes them upon successful completion, -i does not abort.
    names["schedule_job"]("-1h", "myproject.myapp.handlers.broken")
    call_command("runscheduledjobs", "-d", "-i")
    assert statuses() == ["complete", "failed", "failed"]


def test_scheduling_times(manual: Any) -> None:
    from django.utils import timezone

    say(
        """
        import datetime
        from django_future import schedule_job

        schedule_job(datetime.timedelta(days=5), 'myproject.myapp.x')

        schedule_job('5d', 'myproject.myapp.x')

        schedule_job('5d', 'myproject.myapp.x', expires='7d')
        """
    )
    for job in manual.ScheduledJob.objects.all():
        day = datetime.timedelta(days=1)
        assert seconds(job.time_slot_start, timezone.now() + 5 * day) < 60
        # One week by default; relative to the scheduled time.
        assert job.time_slot_end - job.time_slot_start == 7 * day
    assert statuses() == ["scheduled"] * 3


def test_parameters(manual: Any, new_order: Any) -> None:
    order = new_order("1")
    say(
        """
        from django_future import schedule_job

        schedule_job('5d', 'myproject.myapp.x',
                     args=[1, 2], kwargs={'foo': 'bar'})

        schedule_job('5d', 'myproject.myapp.x',
                     content_object=some_model_instance)
        """,
        some_model_instance=order,
    )
    from django.utils import timezone

    manual.run_jobs(now=timezone.now() + datetime.timedelta(days=5))
    assert called() == [((1, 2), {"foo": "bar"}), ((order,), {})]


HANDLER = """
from django_future import job_as_parameter

@job_as_parameter
def handler(job):
    do_stuff()
"""
RESCHEDULING = """
from django_future import job_as_parameter

@job_as_parameter
def handler(job, n=5):
    job.reschedule('3d', kwargs={'n': 6})
"""


@pytest.mark.parametrize("text", [HANDLER, RESCHEDULING], ids=["job", "reschedule"])
def test_handlers_that_take_their_job(manual: Any, tmp_path: Path, text: str) -> None:
    from django.utils import timezone

    handlers = tmp_path / "myproject" / "myapp" / "handlers.py"
    handlers.write_text(f"def do_stuff():\n    stuff.append(1)\n\nstuff = []\n{text}")
    job = manual.schedule_job("-1d", "myproject.myapp.handlers.handler")
    manual.run_jobs()
    job.refresh_from_db()
    assert job.status == "complete"
    if text is HANDLER:
        import importlib

        assert importlib.import_module("myproject.myapp.handlers").stuff == [1]
        return
    again = manual.ScheduledJob.objects.exclude(pk=job.pk).get()
    assert (again.callable_name, again.kwargs) == (job.callable_name, {"n": 6})
    # Counted from the moment at which it was called, not from the scheduled time.
    moment = timezone.now() + datetime.timedelta(days=3)
    assert seconds(again.time_slot_start, moment) < 60


def test_two_runs_at_once_are_no_caveat_any_more(manual: Any, market: Any) -> None:
    """The manual warns that jobs may be executed twice. Another run has the first of them."""
    first = manual.schedule_job("-1h", "myproject.myapp.x")
    c = market.connect()
    c.execute("SELECT pgqueue.dequeue(pgqueue.register_worker('other'), '{django_future}')")
    manual.schedule_job("0h", "myproject.myapp.x")
    manual.run_jobs()
    assert (len(called()), statuses()) == (1, ["running", "complete"])
    first.refresh_from_db()
    assert first.execution_start is not None
