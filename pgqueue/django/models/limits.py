"""Keys that jobs share, and what limits how many run."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from pgqueue.django.models.base import MomentField, QueueModel
from pgqueue.django.models.jobs import Job


class UniqueKey(QueueModel):
    """The unique key that a job has."""

    key = models.TextField(_("key"), primary_key=True)
    job = models.ForeignKey(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="unique_keys",
        verbose_name=_("job"),
    )
    while_waiting = models.BooleanField(
        _("while waiting"), help_text=_("Given back as soon as a worker takes the job.")
    )
    held_until = MomentField(_("held until"), null=True)

    class Meta:
        managed = False
        db_table = '"pgqueue"."unique_keys"'
        verbose_name = _("unique key")
        verbose_name_plural = _("unique keys")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.key)


class Slot(QueueModel):
    """What counts against a limit: a job that runs, or may."""

    pk = models.CompositePrimaryKey("key", "job_id")
    key = models.TextField(_("key"))
    job = models.ForeignKey(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="slots",
        verbose_name=_("job"),
    )

    class Meta:
        managed = False
        db_table = '"pgqueue"."slots"'
        verbose_name = _("slot")
        verbose_name_plural = _("slots")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.key)


class KeyLimit(QueueModel):
    """The limit of a concurrency key that was set by hand."""

    key = models.TextField(_("key"), primary_key=True)
    max_running = models.IntegerField(
        _("most running"), null=True, help_text=_("0 holds it; none: what its jobs say.")
    )
    rate = models.TextField(_("rate"), null=True, help_text=_("None: what its jobs say."))

    class Meta:
        managed = False
        db_table = '"pgqueue"."key_limits"'
        verbose_name = _("limit of a key")
        verbose_name_plural = _("limits of keys")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.key)


class RateTake(QueueModel):
    """How many jobs of a queue with a rate have started in a part of its period."""

    pk = models.CompositePrimaryKey("queue", "part")
    queue = models.TextField(_("queue"))
    part = models.BigIntegerField(_("part of the period"))
    n = models.IntegerField(_("jobs started"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."rate_takes"'
        verbose_name = _("starts of a queue")
        verbose_name_plural = _("starts of queues")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.queue}: {self.n}"


class Turn(QueueModel):
    """Whose turn it was last in a queue with fair keys."""

    queue = models.TextField(_("queue"), primary_key=True)
    key = models.TextField(_("fair key"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."turns"'
        verbose_name = _("turn of a queue")
        verbose_name_plural = _("turns of queues")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.queue)
