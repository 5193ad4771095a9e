"""Jobs, what went wrong with them, and how far they are."""

import datetime as dt
from typing import Any

from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from pgqueue.api.default import default_app
from pgqueue.api.handles import JobHandle
from pgqueue.core.states import JobState
from pgqueue.django.managers import JobManager
from pgqueue.django.models.base import (
    IdListField,
    MomentField,
    QueueModel,
    SpanField,
    refuse_write,
)
from pgqueue.django.models.groups import Group


class State(models.TextChoices):
    """Name the states of a job for people."""

    BLOCKED = "blocked", _("blocked")
    SCHEDULED = "scheduled", _("scheduled")
    READY = "ready", _("ready")
    RUNNING = "running", _("running")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    EXPIRED = "expired", _("expired")


class Job(QueueModel):
    """What is to be done; where it stands is a row of one of the positions.

    `state`, and what else the positions know, is there after `Job.objects.with_state()`.
    """

    id = models.BigAutoField(_("id"), primary_key=True)
    task = models.TextField(_("task"), null=True)
    args = models.JSONField(_("arguments"), null=True, default=list)
    kwargs = models.JSONField(_("keyword arguments"), null=True, default=dict)
    queue = models.TextField(_("queue"), null=True, default="default")
    priority = models.SmallIntegerField(
        _("priority"), null=True, default=0, help_text=_("Higher first.")
    )
    run_at = MomentField(_("run at"), null=True, help_text=_("Earliest start; none for at once."))
    expires_at = MomentField(
        _("expires at"), null=True, help_text=_("Latest start; none for never.")
    )
    timeout = SpanField(_("timeout"), null=True, help_text=_("Longest run of one attempt."))
    max_attempts = models.SmallIntegerField(
        _("max attempts"), null=True, help_text=_("None for the number of the task.")
    )
    meta = models.JSONField(_("meta"), null=True)
    created_at = MomentField(_("created at"), null=True)
    unique_key = models.TextField(_("unique key"), null=True)
    unique_while = models.TextField(_("unique while"), null=True)
    unique_for = SpanField(_("unique for"), null=True)
    on_duplicate = models.TextField(_("on duplicate"), null=True)
    group = models.ForeignKey(
        Group,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="jobs",
        verbose_name=_("group"),
    )
    callbacks = models.JSONField(_("callbacks"), null=True)
    after = IdListField(_("runs after"), null=True)
    run_if = models.TextField(_("runs if they have"), null=True)
    results_as = models.TextField(_("gets their results as"), null=True)
    has_dependents = models.BooleanField(_("others run after it"), null=True)
    concurrency_key = models.TextField(_("concurrency key"), null=True)
    max_running = models.IntegerField(_("most running of the key"), null=True)
    fair_key = models.TextField(_("fair key"), null=True)
    rate = models.TextField(_("rate of the key"), null=True)

    objects = JobManager()

    class Meta:
        managed = False
        db_table = '"pgqueue"."jobs"'
        ordering = ("-id",)
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        default_permissions = ("view", "delete")
        permissions = (
            ("view_job_payload", _("Can see arguments and results of jobs")),
            ("retry_job", _("Can retry jobs")),
            ("run_job", _("Can run waiting jobs now")),
            ("cancel_job", _("Can cancel jobs")),
            ("prioritize_job", _("Can change the priority of jobs")),
            ("move_job", _("Can move jobs to another queue")),
        )

    def __str__(self) -> str:
        return f"{self.pk} {self.task}"

    @property
    def handle(self) -> JobHandle:
        """What one gets from `enqueue()`."""
        return default_app().job(int(self.pk))

    @cached_property
    def state(self) -> JobState:
        """Where the job stands; asked for once, unless `with_state()` has told."""
        return self.handle.state()

    def get_state_display(self) -> str:
        """Give the state in the language that is active."""
        return str(State(self.state).label)

    def cancel(self, reason: str | None = None) -> JobState:
        """Cancel the job; see `JobHandle.cancel`."""
        return self.handle.cancel(reason)

    def retry(self, run_at: dt.datetime | dt.timedelta | str | None = None) -> JobState:
        """Let the job run again, or now; see `JobHandle.retry`."""
        return self.handle.retry(run_at)

    def set_priority(self, priority: int) -> JobState:
        """Let the job go before or behind others; see `JobHandle.set_priority`."""
        return self.handle.set_priority(priority)

    def set_queue(self, queue: str) -> JobState:
        """Let the job be run in another queue; see `JobHandle.set_queue`."""
        return self.handle.set_queue(queue)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        """Delete the job and all that is known of it.

        Raises:
            JobStateError: it is running.
        """
        deleted = int(self.handle.delete())
        return deleted, {self._meta.label: deleted}

    delete.alters_data = True  # type: ignore[attr-defined]

    def save(self, *args: Any, **options: Any) -> None:
        """Refuse: jobs are enqueued."""
        refuse_write(type(self))
        super().save(*args, **options)


class JobError(QueueModel):
    """What went wrong in one attempt."""

    pk = models.CompositePrimaryKey("job_id", "attempt", "at")
    job = models.ForeignKey(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="errors",
        verbose_name=_("job"),
    )
    attempt = models.IntegerField(_("attempt"))
    at = MomentField(_("at"))
    kind = models.TextField(_("kind"))
    message = models.TextField(_("message"))
    traceback = models.TextField(_("traceback"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."job_errors"'
        ordering = ("at", "attempt")
        verbose_name = _("failed attempt")
        verbose_name_plural = _("failed attempts")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.attempt}: {self.kind}"


class JobProgress(QueueModel):
    """How far a running job says it is."""

    job = models.OneToOneField(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name="progress",
        verbose_name=_("job"),
    )
    fraction = models.FloatField(_("fraction"), help_text=_("0 to 1."))
    note = models.TextField(_("note"), null=True)
    updated_at = MomentField(_("updated at"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."job_progress"'
        verbose_name = _("progress of a job")
        verbose_name_plural = _("progress of jobs")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.fraction:.0%}"


class JobLog(QueueModel):
    """A line that an attempt has written down."""

    pk = models.CompositePrimaryKey("job_id", "attempt", "n")
    job = models.ForeignKey(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="logs",
        verbose_name=_("job"),
    )
    attempt = models.IntegerField(_("attempt"))
    n = models.IntegerField(_("number of the line"))
    at = MomentField(_("at"))
    level = models.TextField(_("level"))
    message = models.TextField(_("message"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."job_logs"'
        ordering = ("attempt", "n")
        verbose_name = _("line of the log")
        verbose_name_plural = _("lines of the log")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.level}: {self.message}"
