"""What ties jobs together: which runs after which, and who waits for whom."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from pgqueue.django.models.base import MomentField, QueueModel
from pgqueue.django.models.jobs import Job


class JobDependency(QueueModel):
    """Which job of a flow runs after which."""

    pk = models.CompositePrimaryKey("parent_id", "child_id")
    parent = models.ForeignKey(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="followers",
        verbose_name=_("comes first"),
    )
    child = models.ForeignKey(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="predecessors",
        verbose_name=_("runs after it"),
    )

    class Meta:
        managed = False
        db_table = '"pgqueue"."job_dependencies"'
        verbose_name = _("dependency")
        verbose_name_plural = _("dependencies")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.parent_id} → {self.child_id}"


class JobWait(QueueModel):
    """For how many jobs a blocked job still waits."""

    job = models.OneToOneField(
        Job,
        models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name="waits_for",
        verbose_name=_("job"),
    )
    remaining = models.IntegerField(_("remaining"), help_text=_("Jobs that are not over."))
    failed = models.IntegerField(_("failed"))
    run_if = models.TextField(_("runs if they have"))
    late = models.BooleanField(
        _("late"), help_text=_("They were enqueued before it, so the leader looks at them.")
    )

    class Meta:
        managed = False
        db_table = '"pgqueue"."job_waits"'
        verbose_name = _("wait for other jobs")
        verbose_name_plural = _("waits for other jobs")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.pk}: {self.remaining}"


class Waiter(QueueModel):
    """Who waits for the end of a job, or of a group."""

    id = models.BigAutoField(_("id"), primary_key=True)
    # The negative of a group's id stands for the group.
    job_id = models.BigIntegerField(_("job"))
    until = MomentField(_("until"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."waiters"'
        verbose_name = _("waiter")
        verbose_name_plural = _("waiters")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.job_id)
