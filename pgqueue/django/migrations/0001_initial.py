"""The schema, by the upgrader; and the names of the models, which Django does not manage.

Of their fields only the keys stand here: Django does not look at the others, and a test holds the
models against the catalog.
"""

from typing import Any

from django.db import migrations, models

from pgqueue.django.operations import UpgradeSchema


def _mirror(
    name: str, table: str, one: str, several: str, *fields: tuple[str, Any], **options: Any
) -> migrations.CreateModel:
    return migrations.CreateModel(
        name=name,
        fields=list(fields),
        options={
            "managed": False,
            "db_table": f'"pgqueue"."{table}"',
            "verbose_name": one,
            "verbose_name_plural": several,
            "default_permissions": ("view",),
            **options,
        },
    )


def _page(name: str, one: str, several: str, base: str) -> migrations.CreateModel:
    return migrations.CreateModel(
        name=name,
        fields=[],
        options={
            "proxy": True,
            "verbose_name": one,
            "verbose_name_plural": several,
            "default_permissions": ("view",),
            "indexes": [],
            "constraints": [],
        },
        bases=(base,),
    )


def _number() -> tuple[str, Any]:
    return "id", models.BigAutoField(primary_key=True, serialize=False)


def _text(name: str, *, key: bool = True) -> tuple[str, Any]:
    return name, models.TextField(primary_key=True, serialize=False) if key else models.TextField()


def _one(name: str, back: str, **options: Any) -> tuple[str, Any]:
    return name, models.OneToOneField(
        f"pgqueue.{name}", models.DO_NOTHING, db_constraint=False, primary_key=True,
        related_name=back, serialize=False, **options,
    )  # fmt: skip


def _many(name: str, back: str, to: str = "job") -> tuple[str, Any]:
    return name, models.ForeignKey(
        f"pgqueue.{to}", models.DO_NOTHING, db_constraint=False, db_index=False, related_name=back
    )


def _keys(*names: str) -> tuple[str, Any]:
    return "pk", models.CompositePrimaryKey(*names)


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        UpgradeSchema(version=1),
        _mirror(
            "Job",
            "jobs",
            "job",
            "jobs",
            _number(),
            default_permissions=("view", "delete"),
            ordering=("-id",),
            permissions=(
                ("view_job_payload", "Can see arguments and results of jobs"),
                ("retry_job", "Can retry jobs"),
                ("run_job", "Can run waiting jobs now"),
                ("cancel_job", "Can cancel jobs"),
                ("prioritize_job", "Can change the priority of jobs"),
                ("move_job", "Can move jobs to another queue"),
            ),
        ),
        _mirror("Worker", "workers", "worker", "workers", _number(), ordering=("id",)),
        _mirror(
            "BlockedJob", "blocked_jobs", "blocked job", "blocked jobs", _one("job", "blocked")
        ),
        _mirror(
            "CancelRequest",
            "cancel_requests",
            "cancel request",
            "cancel requests",
            _one("job", "cancel_request"),
        ),
        _mirror(
            "FinishedJob", "finished_jobs", "finished job", "finished jobs", _one("job", "finished")
        ),
        _mirror(
            "JobError",
            "job_errors",
            "failed attempt",
            "failed attempts",
            _keys("job_id", "attempt", "at"),
            _many("job", "errors"),
            ("attempt", models.IntegerField()),
            ("at", models.DateTimeField()),
            ordering=("at", "attempt"),
        ),
        _mirror(
            "JobOverview",
            "job_overview",
            "overview of a job",
            "overview of jobs",
            _one("job", "overview", db_column="id"),
        ),
        _mirror(
            "JobProgress",
            "job_progress",
            "progress of a job",
            "progress of jobs",
            _one("job", "progress"),
        ),
        _mirror(
            "Queue",
            "queues",
            "queue",
            "queues",
            _text("name"),
            default_permissions=("view", "change"),
            ordering=("name",),
            permissions=(("pause_queue", "Can pause and resume queues"),),
        ),
        _mirror(
            "QueueStats",
            "queue_stats",
            "counts of a queue",
            "counts of queues",
            _text("queue"),
            ordering=("queue",),
        ),
        _mirror("ReadyJob", "ready_jobs", "ready job", "ready jobs", _one("job", "ready")),
        _mirror(
            "RunningJob", "running_jobs", "running job", "running jobs", _one("job", "running")
        ),
        _mirror(
            "ScheduledJob",
            "scheduled_jobs",
            "scheduled job",
            "scheduled jobs",
            _one("job", "scheduled"),
        ),
        _mirror(
            "WorkerOverview",
            "worker_overview",
            "overview of a worker",
            "overview of workers",
            _one("worker", "overview", db_column="id"),
            ordering=("worker",),
        ),
        _mirror(
            "Schedule",
            "schedules",
            "schedule",
            "schedules",
            _number(),
            default_permissions=("view", "add", "change", "delete"),
            ordering=("name",),
            permissions=(
                ("run_schedule", "Can run schedules now"),
                ("pause_schedule", "Can pause and resume schedules"),
            ),
        ),
        _mirror(
            "ScheduleOverview",
            "schedule_overview",
            "overview of a schedule",
            "overview of schedules",
            _number(),
            ordering=("name",),
        ),
        _mirror(
            "ScheduleRun",
            "schedule_runs",
            "run of a schedule",
            "runs of schedules",
            _keys("schedule_id", "slot"),
            _many("schedule", "history", "schedule"),
            ("slot", models.DateTimeField()),
            ordering=("-slot",),
        ),
        _mirror(
            "Group",
            "groups",
            "group",
            "groups",
            _number(),
            ordering=("-id",),
            permissions=(
                ("cancel_group", "Can cancel groups"),
                ("retry_group", "Can retry groups"),
            ),
        ),
        _mirror(
            "GroupOverview",
            "group_overview",
            "overview of a group",
            "overview of groups",
            _one("group", "overview", db_column="id"),
            ordering=("-group_id",),
        ),
        _mirror(
            "JobDependency",
            "job_dependencies",
            "dependency",
            "dependencies",
            _keys("parent_id", "child_id"),
            _many("parent", "followers"),
            _many("child", "predecessors"),
        ),
        _mirror(
            "JobLog",
            "job_logs",
            "line of the log",
            "lines of the log",
            _keys("job_id", "attempt", "n"),
            _many("job", "logs"),
            ("attempt", models.IntegerField()),
            ("n", models.IntegerField()),
            ordering=("attempt", "n"),
        ),
        _mirror(
            "JobWait",
            "job_waits",
            "wait for other jobs",
            "waits for other jobs",
            _one("job", "waits_for"),
        ),
        _mirror("KeyLimit", "key_limits", "limit of a key", "limits of keys", _text("key")),
        _mirror(
            "RateTake",
            "rate_takes",
            "starts of a queue",
            "starts of queues",
            _keys("queue", "part"),
            _text("queue", key=False),
            ("part", models.BigIntegerField()),
        ),
        _mirror(
            "Slot",
            "slots",
            "slot",
            "slots",
            _keys("key", "job_id"),
            _text("key", key=False),
            _many("job", "slots"),
        ),
        _mirror("Turn", "turns", "turn of a queue", "turns of queues", _text("queue")),
        _mirror("UniqueKey", "unique_keys", "unique key", "unique keys", _text("key")),
        _mirror("Waiter", "waiters", "waiter", "waiters", _number()),
        _page("Dashboard", "dashboard", "dashboard", "pgqueue.queuestats"),
        _page("Failure", "error", "errors", "pgqueue.finishedjob"),
    )
