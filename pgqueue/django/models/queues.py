"""Queues that have settings, and the workers."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from pgqueue.django.models.base import (
    MomentField,
    NumberListField,
    QueueModel,
    SpanField,
    TextListField,
)


class Queue(QueueModel):
    """Settings of a queue; one without has no row."""

    name = models.TextField(_("name"), primary_key=True)
    paused = models.BooleanField(_("paused"), default=False)
    resume_at = MomentField(
        _("resume at"), null=True, help_text=_("When a pause ends by itself; none for never.")
    )
    retention_succeeded = SpanField(
        _("retention of succeeded jobs"), null=True, help_text=_("None for 7 days.")
    )
    retention_other = SpanField(
        _("retention of other jobs"), null=True, help_text=_("None for 30 days.")
    )
    max_running = models.IntegerField(
        _("most running"), null=True, help_text=_("Of all workers together; none for no limit.")
    )
    rate_jobs = models.IntegerField(
        _("jobs of the rate"), null=True, help_text=_("So many may start in a period.")
    )
    rate_seconds = models.FloatField(_("period of the rate"), null=True, help_text=_("Seconds."))
    max_pending = models.IntegerField(
        _("most waiting"), null=True, help_text=_("More are refused; none for no limit.")
    )

    class Meta:
        managed = False
        db_table = '"pgqueue"."queues"'
        ordering = ("name",)
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        default_permissions = ("view", "change")
        permissions = (("pause_queue", _("Can pause and resume queues")),)

    def __str__(self) -> str:
        return str(self.name)


class Worker(QueueModel):
    """A process tree that runs jobs."""

    id = models.BigAutoField(_("id"), primary_key=True)
    name = models.TextField(_("name"))
    hostname = models.TextField(_("machine"))
    pid = models.IntegerField(_("process id"))
    queues = TextListField(_("queues"))
    processes = models.IntegerField(_("processes"))
    threads = models.IntegerField(_("threads"))
    version = models.TextField(_("version"))
    lease = SpanField(_("lease"))
    has_lock = models.BooleanField(_("holds its lock"))
    is_leader = models.BooleanField(_("leader"))
    fence = models.BigIntegerField(_("fence"), null=True)
    children = NumberListField(_("children"))
    replaced = models.IntegerField(_("replaced children"))
    started_at = MomentField(_("started at"))
    heartbeat_at = MomentField(_("last sign of life"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."workers"'
        ordering = ("id",)
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.name)
