"""Where jobs stand: each is in exactly one of these tables. And the wish that one stops."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from pgqueue.django.models.base import MomentField, QueueModel
from pgqueue.django.models.jobs import Job, State
from pgqueue.django.models.queues import Worker


def _job(name: str) -> Any:
    return models.OneToOneField(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name=name,
        verbose_name=_("job"),
    )


class Position(QueueModel):
    """What the four positions of a job that is not over have in common."""

    queue = models.TextField(_("queue"))
    priority = models.SmallIntegerField(_("priority"), help_text=_("Higher first."))
    attempt = models.IntegerField(_("attempt"), help_text=_("Attempts started so far."))
    lost = models.IntegerField(
        _("lost"), help_text=_("Attempts that ended through no fault of the job.")
    )
    crashes = models.SmallIntegerField(_("crashes"), help_text=_("Attempts whose process died."))
    flags = models.IntegerField(_("flags"))

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class ReadyJob(Position):
    """A job that may run now."""

    job = _job("ready")
    seq = models.BigIntegerField(_("order of entering"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."ready_jobs"'
        verbose_name = _("ready job")
        verbose_name_plural = _("ready jobs")
        default_permissions = ("view",)


class ScheduledJob(Position):
    """A job that runs later."""

    job = _job("scheduled")
    run_at = MomentField(_("run at"))
    reason = models.TextField(_("reason"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."scheduled_jobs"'
        verbose_name = _("scheduled job")
        verbose_name_plural = _("scheduled jobs")
        default_permissions = ("view",)


class BlockedJob(Position):
    """A job that waits for something other than time."""

    job = _job("blocked")
    reason = models.TextField(_("reason"))
    key = models.TextField(_("key"), null=True)
    seq = models.BigIntegerField(_("place in the line"), default=0)

    class Meta:
        managed = False
        db_table = '"pgqueue"."blocked_jobs"'
        verbose_name = _("blocked job")
        verbose_name_plural = _("blocked jobs")
        default_permissions = ("view",)


class RunningJob(Position):
    """A job that a worker holds."""

    job = _job("running")
    worker = models.ForeignKey(
        Worker,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="running",
        verbose_name=_("worker"),
    )
    batch_no = models.BigIntegerField(_("number of the batch"))
    started_at = MomentField(_("started at"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."running_jobs"'
        verbose_name = _("running job")
        verbose_name_plural = _("running jobs")
        default_permissions = ("view",)


class FinishedJob(QueueModel):
    """A job that is over, with what came out of it."""

    job = _job("finished")
    state = models.TextField(_("state"), choices=State.choices)
    attempt = models.IntegerField(_("attempt"))
    lost = models.IntegerField(_("lost"))
    crashes = models.SmallIntegerField(_("crashes"))
    worker = models.ForeignKey(
        Worker,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="finished",
        verbose_name=_("worker"),
    )
    started_at = MomentField(_("started at"), null=True)
    finished_at = MomentField(_("finished at"))
    keep_until = MomentField(_("kept until"))
    result = models.JSONField(_("result"), null=True)
    error = models.TextField(_("error"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."finished_jobs"'
        verbose_name = _("finished job")
        verbose_name_plural = _("finished jobs")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class CancelRequest(QueueModel):
    """The wish that a running job stops."""

    job = _job("cancel_request")
    reason = models.TextField(_("reason"), null=True)
    requested_at = MomentField(_("requested at"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."cancel_requests"'
        verbose_name = _("cancel request")
        verbose_name_plural = _("cancel requests")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.pk)
