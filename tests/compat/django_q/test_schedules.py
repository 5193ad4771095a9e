"""Schedules: made, run, moved on."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.compat.django_q.conftest import Work
from tests.fixtures.databases import Database

TASKS = "tests.compat.project.market.tasks"
ECHO = f"{TASKS}.echo"


def test_an_hourly_schedule(work: Work, market: Database) -> None:
    from django.db import IntegrityError
    from django.utils import timezone

    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.tasks import fetch, schedule

    made = schedule(
        "math.copysign", 1, -1, name="test math", schedule_type=Schedule.HOURLY, repeats=1
    )
    assert isinstance(made, Schedule)
    assert str(made) == "math.copysign"
    assert (made.args, made.kwargs, made.last_run(), made.success()) == (
        "(1, -1)",
        "{}",
        None,
        None,
    )
    with pytest.raises(IntegrityError, match="test math"):
        schedule("math.copysign", 1, -1, name="test math")
    assert [ran.state for ran in work()] == ["succeeded"] * 2
    found = Schedule.objects.get(pk=made.pk)
    assert (found.repeats, found.runs, found.error) == (0, 1, None)
    assert found.next_run == made.next_run + dt.timedelta(hours=1)
    assert found.success() is True
    task = fetch(found.task)
    assert task is not None
    assert (task.result, task.group) == (-1.0, "test math")
    assert work() == []
    # It may be let go on, or be run now.
    Schedule.objects.filter(pk=made.pk).update(repeats=-1, next_run=timezone.now())
    work()
    found.refresh_from_db()
    assert (found.repeats, found.runs) == (-1, 2)


def test_a_schedule_by_the_model(work: Work) -> None:
    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.tasks import result

    made = [
        Schedule.objects.create(func=ECHO, args="2", kwargs='word="django"', schedule_type="D"),
        Schedule.objects.create(func=ECHO, args="1, 2, 'John'", kwargs="{'x': [1]}", repeats=3),
        Schedule.objects.create(func=ECHO, args="(2,)", kwargs="", schedule_type="H"),
        Schedule.objects.create(func=ECHO, schedule_type="I"),
    ]
    work()
    found = []
    for one in made:
        one.refresh_from_db()
        found.append(result(one.task))
    assert found == [
        [[2], {"word": "django"}], [[1, 2, "John"], {"x": [1]}], [[2], {}], [[], {}]
    ]  # fmt: skip
    # Once is once, however many are said.
    assert [one.repeats for one in made] == [-1, 0, -1, -1]


def test_once_is_deleted(work: Work) -> None:
    from pgqueue.compat.django_q.models import Schedule, Task
    from pgqueue.compat.django_q.tasks import schedule

    gone = schedule(ECHO, 1, repeats=-1)
    kept = schedule(ECHO, 2, repeats=2)
    never = schedule(ECHO, 3, schedule_type=Schedule.DAILY, repeats=0)
    nothing = Schedule.objects.create(func=ECHO, next_run=None)
    later = schedule(ECHO, 5, next_run=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    work()
    assert not Schedule.objects.filter(pk=gone.pk).exists()
    assert Schedule.objects.get(pk=kept.pk).repeats == 0
    assert sorted(task.args for task in Task.objects.all()) == [(1,), (2,)]
    assert {one.runs for one in (never, nothing, later)} == {0}
    never.delete()
    later.delete()
    assert Schedule.objects.count() == 2


TYPES: list[tuple[str, str, list[str]]] = [
    ("I", "2021-01-31T10:00", ["2021-01-31T10:01", "2021-01-31T10:02"]),
    ("H", "2021-01-31T23:30", ["2021-02-01T00:30", "2021-02-01T01:30"]),
    ("D", "2021-01-31T10:00", ["2021-02-01T10:00", "2021-02-02T10:00"]),
    ("W", "2021-01-31T10:00", ["2021-02-07T10:00", "2021-02-14T10:00"]),
    ("BW", "2021-01-31T10:00", ["2021-02-14T10:00", "2021-02-28T10:00"]),
    ("M", "2021-01-31T10:00", ["2021-02-28T10:00", "2021-03-28T10:00", "2021-04-28T10:00"]),
    ("BM", "2021-12-31T10:00", ["2022-02-28T10:00", "2022-04-28T10:00"]),
    ("Q", "2021-11-30T10:00", ["2022-02-28T10:00", "2022-05-28T10:00"]),
    ("Y", "2020-02-29T10:00", ["2021-02-28T10:00", "2022-02-28T10:00"]),
]


@pytest.mark.parametrize(("kind", "first", "then"), TYPES)
def test_types(market: Database, kind: str, first: str, then: list[str]) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Schedule

    with override_settings(Q_CLUSTER={"time_zone": "UTC"}):
        one = Schedule(func=ECHO, schedule_type=kind)
        one.next_run = dt.datetime.fromisoformat(f"{first}+00:00")
        found = []
        for _ in then:
            one.next_run = one.calculate_next_run()
            found.append(one.next_run.isoformat()[:16])
    assert found == then
    assert Schedule(schedule_type="I", minutes=10).calculate_next_run(one.next_run) == (
        one.next_run + dt.timedelta(minutes=10)
    )
    with pytest.raises(ValueError, match="type 'O' has no next run"):
        Schedule(next_run=one.next_run).calculate_next_run()


@pytest.mark.parametrize("minutes", [0, None])
def test_no_minutes_are_one(market: Database, minutes: int | None) -> None:
    from pgqueue.compat.django_q.models import Schedule

    now = dt.datetime.now(dt.UTC)
    one = Schedule(func=ECHO, schedule_type="I", minutes=minutes, next_run=now)
    assert one.calculate_next_run() - now == dt.timedelta(minutes=1)


def test_the_clock_on_the_wall_stays(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.scheduler import scheduler
    from pgqueue.compat.django_q.tasks import schedule

    zone = ZoneInfo("Europe/Amsterdam")
    start = dt.datetime(2021, 3, 27, 1, tzinfo=zone)
    with override_settings(Q_CLUSTER={"time_zone": "Europe/Amsterdam"}):
        made = schedule("math.copysign", 1, -1, schedule_type=Schedule.DAILY, next_run=start)
        found = []
        for _ in range(3):
            scheduler()
            made.refresh_from_db()
            found.append(str(made.next_run))
        assert found == [
            "2021-03-28 00:00:00+00:00", "2021-03-28 23:00:00+00:00", "2021-03-29 23:00:00+00:00"
        ]  # fmt: skip
        assert {made.calculate_next_run().astimezone(zone).hour} == {1}
        autumn = dt.datetime(2021, 10, 30, 1, tzinfo=zone)
        weekly = Schedule(func=ECHO, schedule_type="W").calculate_next_run(autumn)
        assert weekly.astimezone(zone).isoformat() == "2021-11-06T01:00:00+01:00"
        hourly = Schedule(func=ECHO, schedule_type="H").calculate_next_run(autumn)
        assert hourly - autumn == dt.timedelta(hours=1)


def test_cron(work: Work, market: Database) -> None:
    from django.core.exceptions import ValidationError
    from django.test import override_settings
    from django.utils import timezone

    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.tasks import schedule

    with override_settings(Q_CLUSTER={"time_zone": "Asia/Tokyo"}):
        made = schedule(ECHO, 2, schedule_type=Schedule.CRON, cron="0 22 * * 1-5")
        assert made.full_clean() is None
        local = made.next_run.astimezone(ZoneInfo("Asia/Tokyo"))
        assert (local.hour, local.minute) == (22, 0)
        assert local.weekday() < 5
        assert made.next_run > timezone.now()
        for wrong in ("0 22 * * 1-12", "nonsense", "* * *"):
            with pytest.raises(ValidationError):
                schedule(ECHO, schedule_type=Schedule.CRON, cron=wrong)
        # However late, it runs once and goes on from now.
        past = timezone.now() - dt.timedelta(days=9)
        Schedule.objects.filter(pk=made.pk).update(next_run=past)
        assert len(work()) == 2
        made.refresh_from_db()
        assert (made.runs, made.next_run > timezone.now()) == (1, True)


def test_what_is_wrong_is_refused(market: Database) -> None:
    from django.core.exceptions import ValidationError

    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.tasks import schedule

    for words in (
        {"schedule_type": "X"}, {"intended_date_kwarg": "no name"}, {"intended_date_kwarg": "if"},
        {"when": dt.date(2021, 1, 1)},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            schedule(ECHO, **words)
    assert not Schedule.objects.exists()


def test_missed_runs(work: Work) -> None:
    from django.test import override_settings
    from django.utils import timezone

    from pgqueue.compat.django_q.models import Schedule, Task
    from pgqueue.compat.django_q.scheduler import scheduler
    from pgqueue.compat.django_q.tasks import schedule

    now = timezone.now()
    late = now - dt.timedelta(hours=3, minutes=30)
    words = {"schedule_type": Schedule.HOURLY, "next_run": late, "intended_date_kwarg": "planned"}
    with override_settings(Q_CLUSTER={"catch_up": False}):
        once = schedule(ECHO, **words)
        work()
        once.refresh_from_db()
        assert once.next_run == late + dt.timedelta(hours=4)
        assert [task.kwargs for task in Task.objects.all()] == [{"planned": late.isoformat()}]
        once.delete()
        Task.objects.all().delete()
    every = schedule(ECHO, **words)
    # By hand one step at a time.
    scheduler()
    every.refresh_from_db()
    assert (every.runs, every.next_run) == (1, late + dt.timedelta(hours=1))
    # By itself until all is played.
    work()
    every.refresh_from_db()
    assert (every.runs, every.next_run) == (4, late + dt.timedelta(hours=4))
    planned = sorted(task.kwargs["planned"] for task in Task.objects.all())
    assert planned == [(late + dt.timedelta(hours=n)).isoformat() for n in range(4)]


def test_a_poison_row_keeps_no_other(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    from django.utils import timezone

    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.scheduler import scheduler

    poison = [
        Schedule.objects.create(func=ECHO, args="1, x", schedule_type="H", name="poison"),
        Schedule.objects.create(func=ECHO, kwargs="open('x')", schedule_type="H"),
        Schedule.objects.create(func="os.system", args="'true'", schedule_type="H"),
        Schedule.objects.create(func=ECHO, schedule_type="?"),
    ]
    good = Schedule.objects.create(func=ECHO, schedule_type="H")
    scheduler()
    good.refresh_from_db()
    assert good.runs == 1
    work()
    for one in poison:
        one.refresh_from_db()
        assert one.runs == 0
        assert one.error
        assert one.next_run < timezone.now()
    assert "args must be literals" in poison[0].error
    assert "PGQUEUE" in poison[2].error
    assert "poison" in caplog.text
    assert work() == []
    poison[0].args = "1, 2"
    poison[0].save()
    work()
    poison[0].refresh_from_db()
    assert (poison[0].runs, poison[0].error) == (1, None)


called: list[Any] = []


def hook(task: Any) -> None:
    called.append((task.id, task.group, task.success))


def test_hooks_groups_and_options(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Schedule, Task
    from pgqueue.compat.django_q.tasks import fetch, schedule

    with override_settings(PGQUEUE={"ALLOW": ["math.*", f"{__name__}.*"]}):
        called.clear()
        hooked = schedule("math.floor", 1.5, hook=f"{__name__}.hook", schedule_type="H")
        options = {"group": "mine", "save": False, "timeout": 7}
        schedule("math.floor", 2.5, name="named", q_options=options)
        work()
        hooked.refresh_from_db()
        assert called == [(hooked.task, str(hooked.pk), True)]
    assert Schedule.objects.count() == 1
    assert Task.objects.count() == 1
    [(meta, timeout)] = market.execute(
        "SELECT meta -> 'django_q' ->> 'group', extract(epoch FROM timeout)::int FROM pgqueue.jobs"
        " WHERE args = '[2.5]'"
    )
    assert (meta, timeout) == ("mine", 7)
    task = fetch(hooked.task)
    assert task is not None
    assert task.hook == f"{__name__}.hook"


def test_clusters(work: Work) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.scheduler import scheduler
    from pgqueue.compat.django_q.tasks import fetch, schedule

    with override_settings(Q_CLUSTER={"name": "first", "ALT_CLUSTERS": {"second": {}}}):
        usual = schedule("math.floor", 1, schedule_type="H")
        other = schedule("math.floor", 2, schedule_type="H", cluster="second")
        named = schedule("math.floor", 3, schedule_type="H", q_options={"cluster": "third"})
        scheduler()
        for one in (usual, other, named):
            one.refresh_from_db()
        assert [one.runs for one in (usual, other, named)] == [1, 0, 1]
        assert work("default") == []
        for queue in ("first", "second", "third"):
            assert work(queue)
        other.refresh_from_db()
        tasks = [fetch(one.task) for one in (usual, other, named)]
        assert [task.cluster for task in tasks if task] == ["first", "second", "third"]


def test_no_scheduler(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.tasks import schedule

    made = schedule("math.floor", 1, schedule_type="H")
    with override_settings(Q_CLUSTER={"scheduler": False}):
        assert [ran.state for ran in work()] == ["snoozed"]
    market.execute("SELECT pgqueue.retry(job_id) FROM pgqueue.scheduled_jobs")
    work()
    made.refresh_from_db()
    assert made.runs == 1


def test_one_job_waits_for_each(market: Database) -> None:
    """Whatever is done to a schedule, one job waits for its next run, and none for one without."""
    from pgqueue.compat.django_q.models import Schedule

    def waiting() -> Any:
        return market.execute(
            "SELECT j.args ->> 0, p.run_at, p.queue FROM pgqueue.scheduled_jobs AS p"
            " JOIN pgqueue.jobs AS j ON j.id = p.job_id WHERE j.task = 'django_q::schedule'"
        )

    year = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    one = Schedule.objects.create(func=ECHO, next_run=year)
    assert waiting() == [(str(one.pk), year, "default")]
    one.next_run = year + dt.timedelta(days=1)
    one.save()
    one.save()
    assert waiting() == [(str(one.pk), one.next_run, "default")]
    Schedule.objects.filter(pk=one.pk).update(cluster="long")
    assert waiting() == [(str(one.pk), one.next_run, "long")]
    two = Schedule.objects.create(func=ECHO, next_run=None)
    Schedule.objects.create(func=ECHO, next_run=year, repeats=0)
    assert len(waiting()) == 1
    two.next_run = year
    two.save()
    assert len(waiting()) == 2


def test_arrow_and_functions(work: Work) -> None:
    from pgqueue.compat.django_q.tasks import result, schedule
    from tests.compat.project.market.tasks import echo

    class Arrow:
        datetime = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)

    made = schedule(echo, 1, next_run=Arrow(), schedule_type="Y", name="a")
    assert (made.func, made.next_run) == (ECHO, Arrow.datetime)
    work()
    made.refresh_from_db()
    assert result(made.task) == [[1], {}]


def test_a_job_that_was_taken_away_comes_back(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q import scheduler
    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.tasks import schedule

    later = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    for number in range(3):
        schedule(ECHO, number, next_run=later)
    Schedule.objects.create(func=ECHO, next_run=None)
    market.execute("SELECT pgqueue.cancel(id) FROM pgqueue.jobs WHERE args = '[1]'")
    market.execute("SELECT pgqueue.delete_job(id) FROM pgqueue.jobs WHERE args = '[2]'")
    assert scheduler.rearm() == 2
    assert scheduler.rearm() == 0
    live = "SELECT count(*) FROM pgqueue.scheduled_jobs WHERE queue = %s"
    assert market.execute(live, ["default"]) == [(3,)]
    # A worker sees to it as well.
    market.execute("SELECT pgqueue.delete_job(id) FROM pgqueue.jobs WHERE args = '[2]'")
    scheduler._armed[0] = float("-inf")
    schedule(ECHO, 9)
    work()
    assert market.execute(live, ["default"]) == [(3,)]
    # The first cluster has another name.
    with override_settings(Q_CLUSTER={"name": "renamed"}):
        scheduler.scheduler()
    assert market.execute(live, ["renamed"]) == [(3,)]


def test_cron_of_a_clock_that_is_behind(market: Database) -> None:
    """What is due by the clock of the database goes on from there, not to the same time again."""
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.scheduler import _next

    with override_settings(Q_CLUSTER={"time_zone": "Asia/Tokyo"}):
        one = Schedule(func=ECHO, schedule_type=Schedule.CRON, cron="0 22 * * *")
        one.next_run = one.calculate_next_run().astimezone(dt.UTC)
        assert _next(one) == one.next_run + dt.timedelta(days=1)


def test_seconds_stand_last_in_cron(market: Database) -> None:
    from django.core.exceptions import ValidationError

    from pgqueue.compat.django_q.models import Schedule
    from pgqueue.compat.django_q.models.schedules import validate_cron

    validate_cron("0 22 * * 1-5 30")
    with pytest.raises(ValidationError):
        validate_cron("0 22 * * 1-5 60")
    one = Schedule(func=ECHO, schedule_type=Schedule.CRON, cron="0 22 * * 1-5 30")
    friday = dt.datetime(2021, 1, 1, 22, tzinfo=dt.UTC)
    assert one.cron_after(friday) == friday + dt.timedelta(seconds=30)
    assert one.cron_after(friday + dt.timedelta(minutes=1)) == (
        friday + dt.timedelta(days=3, seconds=30)
    )


def test_what_could_not_run_is_looked_at_again(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Schedule

    later = "SELECT pgqueue.retry(job_id) FROM pgqueue.scheduled_jobs"
    one = Schedule.objects.create(func="os.getpid", schedule_type="D")
    for _ in range(2):
        assert [ran.state for ran in work()] == ["snoozed"]
        one.refresh_from_db()
        assert "PGQUEUE" in one.error
        [(waiting,)] = market.execute("SELECT count(*) FROM pgqueue.scheduled_jobs")
        assert waiting == 1
        market.execute(later)
    with override_settings(PGQUEUE={"ALLOW": ["os.getpid"]}):
        assert [ran.state for ran in work()] == ["succeeded", "succeeded"]
    one.refresh_from_db()
    assert (one.runs, one.error) == (1, None)


WAITING = "SELECT job_id FROM pgqueue.scheduled_jobs ORDER BY job_id"


def test_a_schedule_that_cannot_run_has_one_job_however_often_it_is_changed(
    work: Work, market: Database
) -> None:
    from pgqueue.compat.django_q import scheduler
    from pgqueue.compat.django_q.models import Schedule

    one = Schedule.objects.create(func="os.getpid", schedule_type="D")
    for number in range(3):
        assert [ran.state for ran in work()] == ["snoozed"]
        assert len(market.execute(WAITING)) == 1
        # It is due still, and tried at once.
        Schedule.objects.filter(pk=one.pk).update(args=str(number))
        assert market.execute(WAITING) == []
    Schedule.objects.filter(pk=one.pk).update(next_run=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    assert work() == []
    assert len(market.execute(WAITING)) == 1
    assert scheduler.rearm() == 0


def test_a_job_whose_schedule_has_another_by_now_ends(work: Work, market: Database) -> None:
    """One that is running when its schedule is changed snoozes all the same."""
    from pgqueue.compat.django_q.models import Schedule

    one = Schedule.objects.create(func="os.getpid", schedule_type="D")
    assert [ran.state for ran in work()] == ["snoozed"]
    [(old,)] = market.execute(WAITING)
    market.execute("UPDATE pgqueue.django_q_schedules SET job_id = NULL")
    Schedule.objects.filter(pk=one.pk).update(args="1")
    assert [ran.state for ran in work()] == ["snoozed"]
    assert len(market.execute(WAITING)) == 2
    market.execute("SELECT pgqueue.retry(%s)", [old])
    assert [(ran.job_id, ran.state) for ran in work()] == [(old, "succeeded")]
    assert len(market.execute(WAITING)) == 1


def test_without_a_scheduler_a_schedule_has_one_job(work: Work, market: Database) -> None:
    from django.test import override_settings

    from pgqueue.compat.django_q.models import Schedule

    again = "SELECT pgqueue.retry(job_id) FROM pgqueue.scheduled_jobs"
    one = Schedule.objects.create(func=ECHO, schedule_type="D")
    with override_settings(Q_CLUSTER={"scheduler": False}):
        for number in range(3):
            assert [ran.state for ran in work()] == ["snoozed"]
            Schedule.objects.filter(pk=one.pk).update(args=str(number))
        assert [ran.state for ran in work()] == ["snoozed"]
        assert len(market.execute(WAITING)) == 1
        # Of one that is paused or gone nothing stays.
        Schedule.objects.filter(pk=one.pk).update(repeats=0)
        market.execute(again)
        assert [ran.state for ran in work()] == ["succeeded"]
        assert market.execute(WAITING) == []
    Schedule.objects.filter(pk=one.pk).update(repeats=1)
    assert [ran.state for ran in work()] == ["succeeded", "succeeded"]
    one.refresh_from_db()
    assert (one.runs, one.repeats) == (1, 0)


def test_a_job_that_is_run_early_waits_anew(work: Work, market: Database) -> None:
    """As by a click on its page."""
    from pgqueue.compat.django_q.models import Schedule

    year = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    one = Schedule.objects.create(func=ECHO, schedule_type="D", next_run=year)
    market.execute("SELECT pgqueue.retry(job_id) FROM pgqueue.scheduled_jobs")
    assert [ran.state for ran in work()] == ["succeeded"]
    assert market.execute("SELECT run_at FROM pgqueue.scheduled_jobs") == [(year,)]
    one.refresh_from_db()
    assert (one.runs, one.next_run) == (0, year)


def test_the_job_of_one_that_cannot_run_comes_back_too(work: Work, market: Database) -> None:
    from pgqueue.compat.django_q import scheduler
    from pgqueue.compat.django_q.models import Schedule

    Schedule.objects.create(func="os.getpid", schedule_type="D")
    assert [ran.state for ran in work()] == ["snoozed"]
    assert scheduler.rearm() == 0
    market.execute("SELECT pgqueue.delete_job(job_id) FROM pgqueue.scheduled_jobs")
    assert scheduler.rearm() == 1
    assert [ran.state for ran in work()] == ["snoozed"]
    assert len(market.execute(WAITING)) == 1
