"""The schema, by the upgrader; and the names of the models, which Django does not manage.

Of their fields only the keys stand here: Django does not look at the others, and a test holds the
models against the catalog.
"""

from django.db import migrations, models

from pgqueue.django.operations import UpgradeSchema


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        UpgradeSchema(version=1),
        migrations.CreateModel(
            name="Job",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."jobs"',
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "default_permissions": ("view", "delete"),
                "ordering": ("-id",),
                "permissions": (
                    ("view_job_payload", "Can see arguments and results of jobs"),
                    ("retry_job", "Can retry jobs"),
                    ("run_job", "Can run waiting jobs now"),
                    ("cancel_job", "Can cancel jobs"),
                    ("prioritize_job", "Can change the priority of jobs"),
                    ("move_job", "Can move jobs to another queue"),
                ),
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."workers"',
                "verbose_name": "worker",
                "verbose_name_plural": "workers",
                "default_permissions": ("view",),
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="BlockedJob",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_constraint=False,
                        primary_key=True,
                        related_name="blocked",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."blocked_jobs"',
                "verbose_name": "blocked job",
                "verbose_name_plural": "blocked jobs",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="CancelRequest",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_constraint=False,
                        primary_key=True,
                        related_name="cancel_request",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."cancel_requests"',
                "verbose_name": "cancel request",
                "verbose_name_plural": "cancel requests",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="FinishedJob",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_constraint=False,
                        primary_key=True,
                        related_name="finished",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."finished_jobs"',
                "verbose_name": "finished job",
                "verbose_name_plural": "finished jobs",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="JobError",
            fields=[
                ("pk", models.CompositePrimaryKey("job_id", "attempt", "at")),
                (
                    "job",
                    models.ForeignKey(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_constraint=False,
                        db_index=False,
                        related_name="errors",
                    ),
                ),
                ("attempt", models.IntegerField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."job_errors"',
                "verbose_name": "failed attempt",
                "verbose_name_plural": "failed attempts",
                "default_permissions": ("view",),
                "ordering": ("at", "attempt"),
            },
        ),
        migrations.CreateModel(
            name="JobOverview",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_column="id",
                        db_constraint=False,
                        primary_key=True,
                        related_name="overview",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."job_overview"',
                "verbose_name": "overview of a job",
                "verbose_name_plural": "overview of jobs",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="JobProgress",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_constraint=False,
                        primary_key=True,
                        related_name="progress",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."job_progress"',
                "verbose_name": "progress of a job",
                "verbose_name_plural": "progress of jobs",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Queue",
            fields=[("name", models.TextField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."queues"',
                "verbose_name": "queue",
                "verbose_name_plural": "queues",
                "default_permissions": ("view", "change"),
                "ordering": ("name",),
                "permissions": (("pause_queue", "Can pause and resume queues"),),
            },
        ),
        migrations.CreateModel(
            name="QueueStats",
            fields=[("queue", models.TextField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."queue_stats"',
                "verbose_name": "counts of a queue",
                "verbose_name_plural": "counts of queues",
                "default_permissions": ("view",),
                "ordering": ("queue",),
            },
        ),
        migrations.CreateModel(
            name="ReadyJob",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_constraint=False,
                        primary_key=True,
                        related_name="ready",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."ready_jobs"',
                "verbose_name": "ready job",
                "verbose_name_plural": "ready jobs",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="RunningJob",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_constraint=False,
                        primary_key=True,
                        related_name="running",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."running_jobs"',
                "verbose_name": "running job",
                "verbose_name_plural": "running jobs",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="ScheduledJob",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        "pgqueue.job",
                        models.DO_NOTHING,
                        db_constraint=False,
                        primary_key=True,
                        related_name="scheduled",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."scheduled_jobs"',
                "verbose_name": "scheduled job",
                "verbose_name_plural": "scheduled jobs",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="WorkerOverview",
            fields=[
                (
                    "worker",
                    models.OneToOneField(
                        "pgqueue.worker",
                        models.DO_NOTHING,
                        db_column="id",
                        db_constraint=False,
                        primary_key=True,
                        related_name="overview",
                        serialize=False,
                    ),
                )
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."worker_overview"',
                "verbose_name": "overview of a worker",
                "verbose_name_plural": "overview of workers",
                "default_permissions": ("view",),
                "ordering": ("worker",),
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."schedules"',
                "verbose_name": "schedule",
                "verbose_name_plural": "schedules",
                "default_permissions": ("view", "add", "change", "delete"),
                "ordering": ("name",),
                "permissions": (
                    ("run_schedule", "Can run schedules now"),
                    ("pause_schedule", "Can pause and resume schedules"),
                ),
            },
        ),
        migrations.CreateModel(
            name="ScheduleOverview",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."schedule_overview"',
                "verbose_name": "overview of a schedule",
                "verbose_name_plural": "overview of schedules",
                "default_permissions": ("view",),
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="ScheduleRun",
            fields=[
                ("pk", models.CompositePrimaryKey("schedule_id", "slot")),
                (
                    "schedule",
                    models.ForeignKey(
                        "pgqueue.schedule",
                        models.DO_NOTHING,
                        db_constraint=False,
                        db_index=False,
                        related_name="history",
                    ),
                ),
                ("slot", models.DateTimeField()),
            ],
            options={
                "managed": False,
                "db_table": '"pgqueue"."schedule_runs"',
                "verbose_name": "run of a schedule",
                "verbose_name_plural": "runs of schedules",
                "default_permissions": ("view",),
                "ordering": ("-slot",),
            },
        ),
        migrations.CreateModel(
            name="Dashboard",
            fields=[],
            options={
                "proxy": True,
                "verbose_name": "dashboard",
                "verbose_name_plural": "dashboard",
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("pgqueue.queuestats",),
        ),
        migrations.CreateModel(
            name="Failure",
            fields=[],
            options={
                "proxy": True,
                "verbose_name": "error",
                "verbose_name_plural": "errors",
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("pgqueue.finishedjob",),
        ),
    )
