"""Groups: their rules, their final job, how far they are."""

import datetime as dt
from typing import Any

import pytest

from tests.compat.django_async.conftest import TASKS, again, native
from tests.fixtures.databases import Database

DAY = dt.timedelta(days=1)


@pytest.fixture
def group(market: Database) -> Any:
    from pgqueue.compat.django_async.models import Group

    return Group.objects.create(reference="group1", description="test group1")


def add(of: Any, number: str = "1", task: str = "nothing", **more: Any) -> Any:
    from pgqueue.compat.django_async import schedule

    return schedule(f"{TASKS}.{task}", [number], group=of, **more)


def overview(group: Any) -> Any:
    from pgqueue.django.models import GroupOverview

    return GroupOverview.objects.get(pk=group.pk)


def test_a_group_is_one_of_the_queue(group: Any) -> None:
    job = add(group)
    assert (str(group), job.group, group.jobs.get()) == ("group1", group, job)
    assert again(group).description == "test group1"
    assert (overview(group).name, overview(group).total) == ("group1", 1)
    job.execute()
    assert (overview(group).state, overview(group).succeeded) == ("succeeded", 1)
    group.description, group.created = "changed", group.created - DAY
    group.save()
    assert (again(group).description, again(group).created) == ("changed", group.created)


def test_a_reference_makes_or_finds_its_latest_group(market: Database) -> None:
    from pgqueue.compat.django_async.models import Group

    first = add("import").group
    assert first.reference == "import"
    assert add("import").group == first
    empty = Group.objects.create(reference="empty", description="kept")
    assert add("empty").group == empty
    for job in empty.jobs.all():
        job.execute()
    new = add("empty").group
    assert (new.reference, new.description, new == empty) == ("empty", "kept", False)
    several = [Group.objects.create(reference="several") for _ in range(3)]
    assert add("several").group == several[-1]
    assert Group.latest_group_by_reference("several") == several[-1]


@pytest.mark.parametrize("how", ["executed", "cancelled"])
def test_a_half_done_group_takes_no_more(group: Any, how: str) -> None:
    from django.core.exceptions import ValidationError
    from django.utils import timezone

    from pgqueue.compat.django_async import schedule

    done, _open = add(group), add(group)
    setattr(done, how, timezone.now())
    done.save()
    with pytest.raises(ValidationError, match="has executed jobs"):
        add(group)
    with pytest.raises(ValidationError):
        add("group1")
    stranger = schedule(f"{TASKS}.nothing")
    stranger.group = group
    with pytest.raises(ValidationError):
        stranger.save()
    assert group.jobs.count() == 2
    done.meta = '{"members": "may change"}'
    done.save()


def test_a_reference_is_taken_while_jobs_are_open(group: Any) -> None:
    from django.core.exceptions import ValidationError
    from django.utils import timezone

    from pgqueue.compat.django_async.models import Group

    job, other = add(group), add(group)
    job.execute()
    with pytest.raises(ValidationError, match="still has unexecuted jobs"):
        Group.objects.create(reference="group1")
    group.save()
    other.cancelled = timezone.now()
    other.save()
    Group.objects.create(reference="group1")
    assert Group.objects.filter(reference="group1").count() == 2


def test_a_job_may_change_its_group(group: Any) -> None:
    from pgqueue.compat.django_async.models import Group

    other = Group.objects.create(reference="other")
    job, stays = add(group), add(group)
    job.group = other
    job.save()
    assert (list(group.jobs.all()), list(other.jobs.all())) == ([stays], [job])
    assert (overview(group).total, overview(other).total) == (1, 1)
    stays.execute()
    assert overview(group).state == "succeeded"
    job.group = None
    job.save()
    assert other.jobs.count() == 0
    stays.group = other
    stays.save()
    assert overview(other).succeeded == 1


def test_has_completed(group: Any) -> None:
    assert not group.has_completed()
    one, two = add(group), add(group)
    assert not group.has_completed()
    one.execute()
    assert group.has_completed(two)
    assert not group.has_completed(one)
    two.execute()
    assert group.has_completed()


def test_latest_executed_job(group: Any) -> None:
    one, two = add(group), add(group)
    assert group.latest_executed_job() is None
    two.execute()
    one.execute()
    assert group.latest_executed_job() == one


def test_estimates(group: Any) -> None:
    from django.utils import timezone

    assert group.estimate_execution_duration() == (None, None, None)
    jobs = [add(group) for _ in range(4)]
    assert group.estimate_execution_duration() == (None, None, None)
    group.created = timezone.now() - 2 * DAY
    group.save()
    jobs[0].execute()
    whole, remaining, consumed = group.estimate_execution_duration()
    assert consumed >= 2 * DAY
    assert (whole, remaining) == (4 * consumed, 3 * consumed)
    for job in jobs[1:]:
        job.execute()
    whole, remaining, consumed = again(group).estimate_execution_duration()
    assert whole == consumed == again(jobs[3]).executed - group.created
    assert remaining == dt.timedelta()


def test_estimates_of_a_group_that_was_cancelled_as_a_whole(group: Any) -> None:
    add(group)
    group.jobs.update(cancelled=group.created)
    assert group.estimate_execution_duration() == (None, None, None)


def test_the_final_job_waits_for_the_others(group: Any) -> None:
    from pgqueue.compat import here

    one, two, final = add(group), add(group), add(None)
    group.on_completion(final)
    assert again(final).group == group
    assert again(group).final == final
    assert list(final.ends.all()) == [group]
    assert native(final).state == "blocked"
    ran = [ran.job_id for ran in here.run(["async"])]
    assert ran == [one.pk, two.pk, final.pk]
    assert overview(group).state == "succeeded"


def test_a_final_job_that_was_there_first(market: Database) -> None:
    from pgqueue.compat import here
    from pgqueue.compat.django_async.models import Group

    final = add(None)
    group = Group.objects.create(reference="final-job", final=final)
    assert again(final).group == group
    assert native(final).state == "ready"  # it is the only one
    one, two = add(group), add(group)
    assert native(final).state == "blocked"
    assert [ran.job_id for ran in here.run(["async"])] == [one.pk, two.pk, final.pk]


def test_a_final_job_waits_for_one_that_fails_until_that_is_over(group: Any) -> None:
    from django.utils import timezone

    from tests.compat.project.market.tasks import MarketError

    bad, final = add(group, task="fail"), add(group)
    group.on_completion(final)
    with pytest.raises(MarketError):
        again(bad).execute()
    assert native(final).state == "blocked"
    bad = again(bad)
    bad.cancelled = timezone.now()
    bad.save()
    assert native(final).state == "ready"


def test_another_or_no_final_job(group: Any) -> None:
    from django.core.exceptions import ValidationError

    one, two = add(group), add(group)
    group.on_completion(one)
    group.on_completion(two)
    assert (native(one).state, native(two).state) == ("ready", "blocked")
    group.final = None
    group.save()
    assert (native(two).state, again(group).final) == ("ready", None)
    one.execute()
    late = add(None)
    with pytest.raises(ValidationError):
        group.on_completion(late)
    assert (again(late).group, again(group).final) == (None, None)


def test_a_final_job_may_be_executed_by_hand(group: Any) -> None:
    add(group)
    final = add(group)
    group.on_completion(final)
    final = again(final)
    final.execute()
    assert final.executed is not None


def test_delete(group: Any) -> None:
    from pgqueue.compat.django_async.models import Group, Job
    from pgqueue.django.models import Group as NativeGroup

    job, final = add(group), add(group)
    group.on_completion(final)
    final.delete()
    # As before: a group goes with its final job, and its jobs with it.
    assert (Group.objects.count(), Job.objects.count()) == (0, 0)
    assert NativeGroup.objects.count() == 0
    other = add("other").group
    other.delete()
    assert Job.objects.count() == 0
    assert not Job.objects.filter(pk=job.pk).exists()


def test_counts_over_the_relation(group: Any) -> None:
    from django.db.models import Count

    from pgqueue.compat.django_async.models import Group

    jobs = [add(group) for _ in range(3)]
    found = group.jobs.aggregate(job_count=Count("id"), executed_job_count=Count("executed"))
    assert found == {"job_count": 3, "executed_job_count": 0}
    assert Group.objects.filter(jobs__in=jobs).distinct().get() == group
    assert group.jobs.exclude(group__reference="group1").count() == 0
