"""The models: what they read, and that they do not write."""

import datetime as dt
from typing import Any

import pytest

from tests import factories
from tests.fixtures.databases import Database

STATES = (
    "blocked", "scheduled", "ready", "running", "succeeded", "failed", "cancelled", "expired",
)  # fmt: skip


@pytest.fixture
def jobs(project: Database) -> dict[str, int]:
    """One job in every state."""
    c = project.connect()
    waiting = {name: getattr(factories, name)(c) for name in STATES[:4]}
    return waiting | {
        name: factories.finished(c, name, result='{"a": 1}', error=f"as {name}")
        for name in STATES[4:]
    }


def queries() -> Any:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    return CaptureQueriesContext(connection)


def test_states(jobs: dict[str, int]) -> None:
    from pgqueue.django.models import Job

    with queries() as made:
        found = {job.pk: job for job in Job.objects.with_state()}
        assert {str(found[pk].state): pk for pk in found} == jobs
        assert found[jobs["running"]].attempt == 1
        assert found[jobs["running"]].worker_id is not None
        assert found[jobs["failed"]].error == "as failed"
        assert found[jobs["blocked"]].reason == "slot"
    assert len(made) == 1
    for name, pk in jobs.items():
        with queries() as made:
            assert [job.pk for job in getattr(Job.objects, name)()] == [pk]
            assert [job.pk for job in Job.objects.in_state(name)] == [pk]
        assert len(made) == 2
        job = Job.objects.get(pk=pk)
        assert job.state == name
        assert job.get_state_display()
    assert {job.pk for job in Job.objects.waiting()} == {jobs[name] for name in STATES[:3]}
    assert {job.pk for job in Job.objects.finished()} == {jobs[name] for name in STATES[4:]}
    assert {job.pk for job in Job.objects.in_state("ready", "failed", "expired")} == {
        jobs[name] for name in ("ready", "failed", "expired")
    }
    with pytest.raises(ValueError, match="did you mean 'failed'"):
        Job.objects.in_state("faild")


def test_relations(jobs: dict[str, int], project: Database) -> None:
    from pgqueue.django.models import Job, JobOverview, QueueStats, Worker, WorkerOverview

    failed = jobs["failed"]
    project.execute(
        "INSERT INTO pgqueue.job_errors VALUES (%s, 2, now(), 'E', 'b', 't'), "
        "(%s, 1, now() - interval '1 s', 'E', 'a', null)",
        [failed, failed],
    )
    project.execute("INSERT INTO pgqueue.job_progress VALUES (%s, 0.5, 'half')", [jobs["running"]])
    with queries() as made:
        found = list(
            Job.objects.select_related(
                "finished__worker", "running__worker", "progress"
            ).prefetch_related("errors")
        )
        by_pk = {job.pk: job for job in found}
        assert [error.message for error in by_pk[failed].errors.all()] == ["a", "b"]
        assert by_pk[failed].finished.result == {"a": 1}
        assert by_pk[jobs["running"]].running.worker.name == "worker"
    assert len(made) == 2
    assert JobOverview.objects.get(pk=failed).job.pk == failed
    assert Worker.objects.get().running.get().job.pk == jobs["running"]
    assert WorkerOverview.objects.get().running == 1
    assert WorkerOverview.objects.get().queues == ["*"]
    assert QueueStats.objects.get(queue="default").ready == 1
    for model in (Job, JobOverview, QueueStats, Worker, WorkerOverview):
        assert str(model.objects.first())


def test_groups_flows_keys_and_lines(project: Database) -> None:
    from pgqueue.django import models
    from pgqueue.django.models import Group, Job

    c = project.connect()
    (group,) = c.execute("SELECT pgqueue.create_group('orders')").fetchone() or (0,)
    first = factories.job(c, group_id=group, unique_key="u", concurrency_key="k")
    second = factories.job(c, group_id=group, after=[first], callbacks='{"on_finish": "a"}')
    c.execute("SELECT f.job_ids FROM pgqueue.enqueue_flow('[{\"task\": \"a\"},"
              " {\"task\": \"b\", \"after\": [0]}]') AS f")  # fmt: skip
    c.execute("SELECT pgqueue.wait_for(ARRAY[%s]::bigint[])", (first,))
    c.execute("SELECT pgqueue.limit_key('k', 2)")
    c.execute("INSERT INTO pgqueue.job_logs VALUES (%s, 1, 1, now(), 'info', 'hi')", (first,))
    found = Group.objects.get(name="orders")
    assert [job.pk for job in found.jobs.order_by("pk")] == [first, second]
    assert (found.overview.state, found.overview.total) == ("open", 2)
    assert found.handle.progress().total == 2
    job = Job.objects.get(pk=second)
    assert (job.after, job.callbacks, job.waits_for.remaining) == ([first], {"on_finish": "a"}, 1)
    assert [line.message for line in Job.objects.get(pk=first).logs.all()] == ["hi"]
    assert [key.key for key in Job.objects.get(pk=first).unique_keys.all()] == ["u"]
    edge = models.JobDependency.objects.get()
    assert edge.parent.followers.get().child_id == edge.child_id
    assert models.KeyLimit.objects.get().max_running == 2
    for name in ("Group", "GroupOverview", "JobDependency", "JobLog", "JobWait", "KeyLimit",
                 "UniqueKey", "Waiter"):  # fmt: skip
        assert str(getattr(models, name).objects.first())
    for name in ("RateTake", "Slot", "Turn"):
        assert list(getattr(models, name).objects.all()) == []


def test_times_that_python_has_no_word_for(project: Database) -> None:
    from pgqueue.django.models import Job, JobOverview, ScheduledJob

    c = project.connect()
    parked = factories.job(c, run_at="infinity", expires_at="infinity")
    past = factories.job(c, run_at="-infinity")
    job = Job.objects.with_state().get(pk=parked)
    assert (job.state, job.run_at.year, job.due_at.year) == ("scheduled", 9999, 9999)
    assert ScheduledJob.objects.get().run_at.year == 9999
    assert JobOverview.objects.get(pk=parked).run_at.year == 9999
    assert Job.objects.get(pk=past).run_at.year == 1
    assert Job.objects.filter(run_at__gt=dt.datetime(2100, 1, 1, tzinfo=dt.UTC)).count() == 1
    assert [row[0].year for row in Job.objects.order_by("run_at").values_list("run_at")] == [
        1,
        9999,
    ]


def test_an_interval_that_has_no_end(project: Database, server: Any) -> None:
    from pgqueue.django.models import Queue

    end = "'infinity'" if server.major >= 17 else "NULL"
    project.execute(f"INSERT INTO pgqueue.queues (name, retention_other) VALUES ('a', {end})")
    assert Queue.objects.get().retention_other is None


def test_they_are_read_only(jobs: dict[str, int]) -> None:
    from pgqueue.django.models import Job, Queue, ReadyJob
    from pgqueue.django.testing import writable_models

    ready = Job.objects.get(pk=jobs["ready"])
    for call in (
        ready.save,
        lambda: Job.objects.create(task="a"),
        lambda: Job.objects.bulk_create([Job(task="a")]),
        lambda: Job.objects.update(task="a"),
        lambda: Job.objects.get_or_create(task="a"),
        lambda: Job.objects.all().delete(),
        lambda: ReadyJob.objects.get().delete(),
        lambda: Queue(name="a").save(),
    ):
        with pytest.raises(TypeError, match="can be read only"):
            call()
    with writable_models():
        made = Job.objects.create(task="by hand", queue="mail")
    assert made.state == "ready"


def test_what_they_do(jobs: dict[str, int]) -> None:
    from pgqueue import JobStateError
    from pgqueue.django.models import Job

    assert Job.objects.get(pk=jobs["scheduled"]).retry() == "ready"
    assert Job.objects.get(pk=jobs["ready"]).set_priority(9) == "ready"
    assert Job.objects.get(pk=jobs["ready"]).cancel("enough") == "cancelled"
    assert Job.objects.get(pk=jobs["failed"]).retry("1h") == "scheduled"
    assert Job.objects.get(pk=jobs["expired"]).delete() == (1, {"pgqueue.Job": 1})
    assert not Job.objects.filter(pk=jobs["expired"]).exists()
    with pytest.raises(JobStateError):
        Job.objects.get(pk=jobs["running"]).delete()


def test_every_word_can_be_translated(project: Database) -> None:
    from django.apps import apps
    from django.utils.functional import Promise

    for model in apps.get_app_config("pgqueue").get_models():
        meta = model._meta
        assert isinstance(meta.verbose_name, Promise), model
        for field in meta.get_fields():
            if field.concrete and field.column:
                assert isinstance(field.verbose_name, Promise), field
                assert not field.help_text or isinstance(field.help_text, Promise), field
