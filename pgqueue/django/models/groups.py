"""Groups of jobs."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from pgqueue.api.default import default_app
from pgqueue.api.groups import GroupHandle
from pgqueue.django.models.base import MomentField, QueueModel


class Group(QueueModel):
    """Jobs that belong together. Its counters lag a little; those of `overview` do not."""

    id = models.BigAutoField(_("id"), primary_key=True)
    name = models.TextField(_("name"), null=True)
    parent = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="children",
        verbose_name=_("parent"),
    )
    callbacks = models.JSONField(_("callbacks"), null=True)
    meta = models.JSONField(_("meta"), null=True)
    total = models.IntegerField(_("members"), default=0)
    succeeded = models.IntegerField(_("succeeded"), default=0)
    failed = models.IntegerField(_("failed"), default=0)
    cancelled = models.IntegerField(_("cancelled"), default=0)
    skipped = models.IntegerField(_("skipped"), default=0)
    created_at = MomentField(_("created at"))
    closed_at = MomentField(_("closed at"), null=True)
    ended_at = MomentField(_("ended at"), null=True)
    state = models.TextField(_("state"), null=True)
    released = models.BooleanField(_("released"), default=False)
    last_job_id = models.BigIntegerField(_("last job"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."groups"'
        ordering = ("-id",)
        verbose_name = _("group")
        verbose_name_plural = _("groups")
        default_permissions = ("view",)
        permissions = (
            ("cancel_group", _("Can cancel groups")),
            ("retry_group", _("Can retry groups")),
        )

    def __str__(self) -> str:
        return f"{self.pk} {self.name}" if self.name else str(self.pk)

    @property
    def handle(self) -> GroupHandle:
        """What one gets from `group()`."""
        return default_app().get_group(int(self.pk))


class GroupOverview(QueueModel):
    """One row a group: how far it is."""

    group = models.OneToOneField(
        Group,
        models.DO_NOTHING,
        db_column="id",
        db_constraint=False,
        primary_key=True,
        related_name="overview",
        verbose_name=_("group"),
    )
    name = models.TextField(_("name"), null=True)
    state = models.TextField(_("state"))
    parent = models.ForeignKey(
        Group,
        models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="+",
        verbose_name=_("parent"),
    )
    total = models.IntegerField(_("members"))
    waiting = models.IntegerField(_("waiting"))
    running = models.IntegerField(_("running"))
    succeeded = models.IntegerField(_("succeeded"))
    failed = models.IntegerField(_("failed"))
    cancelled = models.IntegerField(_("cancelled"))
    skipped = models.IntegerField(_("skipped"))
    fraction = models.FloatField(_("fraction"), null=True, help_text=_("0 to 1."))
    remaining_seconds = models.FloatField(
        _("remaining"), null=True, help_text=_("Seconds, at the pace so far.")
    )
    meta = models.JSONField(_("meta"), null=True)
    created_at = MomentField(_("created at"))
    closed_at = MomentField(_("closed at"), null=True)
    ended_at = MomentField(_("ended at"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."group_overview"'
        ordering = ("-group_id",)
        verbose_name = _("overview of a group")
        verbose_name_plural = _("overview of groups")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"
