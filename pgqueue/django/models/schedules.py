"""Schedules, and what became of their slots."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from pgqueue.django.models.base import IdListField, MomentField, QueueModel, SpanField


class Rule(QueueModel):
    """What a schedule says, in its table and in the view over it."""

    id = models.BigAutoField(_("id"), primary_key=True)
    name = models.TextField(_("name"))
    task = models.TextField(_("task"))
    args = models.JSONField(_("arguments"), default=list)
    kwargs = models.JSONField(_("keyword arguments"), default=dict)
    queue = models.TextField(_("queue"), default="default")
    priority = models.SmallIntegerField(_("priority"), default=0)
    expires = SpanField(_("expires"), null=True)
    timeout = SpanField(_("timeout"), null=True)
    max_attempts = models.SmallIntegerField(_("max attempts"), null=True)
    meta = models.JSONField(_("meta"), null=True)
    options = models.JSONField(_("more options"), null=True)
    planned_kwarg = models.TextField(_("argument for the planned instant"), null=True)
    kind = models.TextField(_("kind"))
    rule = models.TextField(_("rule"))
    timezone = models.TextField(_("time zone"))
    starts_at = MomentField(_("starts at"))
    ends_at = MomentField(_("ends at"), null=True)
    repeats = models.IntegerField(_("repeats"), null=True)
    sticky = models.BooleanField(_("sticky"), default=False)
    jitter = SpanField(_("jitter"))
    catch_up = models.TextField(_("catch up"))
    max_catch_up = models.IntegerField(_("most to catch up"))
    overlap = models.TextField(_("overlap"))
    source = models.TextField(_("source"))
    declared_by = models.TextField(_("declared by"), null=True)
    done_until = MomentField(_("done until"))
    next_slot = MomentField(_("next slot"), null=True)
    next_run_at = MomentField(_("next run"), null=True)
    runs = models.IntegerField(_("runs"))
    skipped = models.BigIntegerField(_("skipped"))
    last_slot = MomentField(_("last slot"), null=True)
    last_fired_at = MomentField(_("last fired at"), null=True)
    error = models.TextField(_("error"), null=True)
    created_at = MomentField(_("created at"))
    updated_at = MomentField(_("updated at"))

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.name)


class Schedule(Rule):
    """What recurs."""

    declared = models.BooleanField(_("declared"), default=True)
    declaration = models.JSONField(_("declaration"), null=True)
    paused = models.BooleanField(_("paused"), default=False)
    held_slot = MomentField(_("held slot"), null=True)
    last_job_id = models.BigIntegerField(_("last job"), null=True)
    earlier_job_ids = IdListField(_("earlier jobs"))
    revision = models.BigIntegerField(_("revision"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."schedules"'
        ordering = ("name",)
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        default_permissions = ("view", "add", "change", "delete")
        permissions = (
            ("run_schedule", _("Can run schedules now")),
            ("pause_schedule", _("Can pause and resume schedules")),
        )


class ScheduleOverview(Rule):
    """One row a schedule with its status and its last job."""

    status = models.TextField(_("status"))
    last_job_id = models.BigIntegerField(_("last job"), null=True)
    last_state = models.TextField(_("state of the last job"), null=True)
    last_result = models.JSONField(_("result of the last job"), null=True)
    last_error = models.TextField(_("error of the last job"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."schedule_overview"'
        ordering = ("name",)
        verbose_name = _("overview of a schedule")
        verbose_name_plural = _("overview of schedules")
        default_permissions = ("view",)


class ScheduleRun(QueueModel):
    """Which slot became which job."""

    pk = models.CompositePrimaryKey("schedule_id", "slot")
    schedule = models.ForeignKey(
        Schedule,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="history",
        verbose_name=_("schedule"),
    )
    slot = MomentField(_("slot"))
    job_id = models.BigIntegerField(_("job"), null=True)
    fired_at = MomentField(_("fired at"))
    manual = models.BooleanField(_("asked for"), default=False)
    duplicate_of = models.BigIntegerField(_("duplicate of"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."schedule_runs"'
        ordering = ("-slot",)
        verbose_name = _("run of a schedule")
        verbose_name_plural = _("runs of schedules")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.slot)
