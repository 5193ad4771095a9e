"""The views that join the tables for people."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from pgqueue.django.models.base import (
    IdListField,
    MomentField,
    NumberListField,
    QueueModel,
    SpanField,
    TextListField,
)
from pgqueue.django.models.groups import Group
from pgqueue.django.models.jobs import Job, State
from pgqueue.django.models.queues import Worker


class JobOverview(QueueModel):
    """One row a job with its state. Give an id or a narrow condition."""

    job = models.OneToOneField(
        Job,
        models.DO_NOTHING,
        db_column="id",
        db_constraint=False,
        primary_key=True,
        related_name="overview",
        verbose_name=_("job"),
    )
    state = models.TextField(_("state"), choices=State.choices, null=True)
    task = models.TextField(_("task"), null=True)
    args = models.JSONField(_("arguments"), null=True)
    kwargs = models.JSONField(_("keyword arguments"), null=True)
    queue = models.TextField(_("queue"), null=True)
    priority = models.SmallIntegerField(_("priority"), null=True)
    attempt = models.IntegerField(_("attempt"), null=True)
    lost = models.IntegerField(_("lost"), null=True)
    crashes = models.SmallIntegerField(_("crashes"), null=True)
    max_attempts = models.SmallIntegerField(_("max attempts"), null=True)
    run_at = MomentField(_("run at"), null=True)
    expires_at = MomentField(_("expires at"), null=True)
    timeout = SpanField(_("timeout"), null=True)
    meta = models.JSONField(_("meta"), null=True)
    created_at = MomentField(_("created at"), null=True)
    started_at = MomentField(_("started at"), null=True)
    finished_at = MomentField(_("finished at"), null=True)
    worker = models.ForeignKey(
        Worker,
        models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="+",
        verbose_name=_("worker"),
    )
    result = models.JSONField(_("result"), null=True)
    error = models.TextField(_("error"), null=True)
    reason = models.TextField(_("reason"), null=True)
    progress = models.FloatField(_("progress"), null=True)
    progress_note = models.TextField(_("note"), null=True)
    unique_key = models.TextField(_("unique key"), null=True)
    group = models.ForeignKey(
        Group,
        models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="+",
        verbose_name=_("group"),
    )
    after = IdListField(_("runs after"), null=True)
    concurrency_key = models.TextField(_("concurrency key"), null=True)
    fair_key = models.TextField(_("fair key"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."job_overview"'
        verbose_name = _("overview of a job")
        verbose_name_plural = _("overview of jobs")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class QueueStats(QueueModel):
    """One row for each queue that has waiting or running jobs, or settings."""

    queue = models.TextField(_("queue"), primary_key=True)
    ready = models.BigIntegerField(_("ready"))
    scheduled = models.BigIntegerField(_("scheduled"))
    blocked = models.BigIntegerField(_("blocked"))
    running = models.BigIntegerField(_("running"))
    unknown_task = models.BigIntegerField(
        _("unknown task"), help_text=_("Scheduled jobs whose task no worker knew.")
    )
    paused = models.BooleanField(_("paused"))
    resume_at = MomentField(_("resume at"), null=True)
    first_waits_seconds = models.FloatField(
        _("next waits"), null=True, help_text=_("Seconds that the job that is next has waited.")
    )
    retention_succeeded = SpanField(_("retention of succeeded jobs"), null=True)
    retention_other = SpanField(_("retention of other jobs"), null=True)
    max_running = models.IntegerField(_("most running"), null=True)
    rate = models.TextField(_("rate"), null=True)
    max_pending = models.IntegerField(_("most waiting"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."queue_stats"'
        ordering = ("queue",)
        verbose_name = _("counts of a queue")
        verbose_name_plural = _("counts of queues")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.queue)


class WorkerOverview(QueueModel):
    """One row a worker with what it does."""

    worker = models.OneToOneField(
        Worker,
        models.DO_NOTHING,
        db_column="id",
        db_constraint=False,
        primary_key=True,
        related_name="overview",
        verbose_name=_("worker"),
    )
    name = models.TextField(_("name"))
    hostname = models.TextField(_("machine"))
    pid = models.IntegerField(_("process id"))
    queues = TextListField(_("queues"))
    processes = models.IntegerField(_("processes"))
    threads = models.IntegerField(_("threads"))
    version = models.TextField(_("version"))
    is_leader = models.BooleanField(_("leader"))
    has_lock = models.BooleanField(_("holds its lock"))
    started_at = MomentField(_("started at"))
    heartbeat_at = MomentField(_("last sign of life"))
    silent_seconds = models.FloatField(_("silent for"), help_text=_("Seconds."))
    lost = models.BooleanField(_("lost"))
    running = models.BigIntegerField(_("running"))
    children = NumberListField(_("children"))
    replaced = models.IntegerField(_("replaced children"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."worker_overview"'
        ordering = ("worker",)
        verbose_name = _("overview of a worker")
        verbose_name_plural = _("overview of workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.name)
