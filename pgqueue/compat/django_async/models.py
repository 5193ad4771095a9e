"""Groups, jobs and errors as django-async had them, over views of the queue's tables."""

import datetime as dt
import hashlib
from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Count, Max, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pgqueue.compat import here
from pgqueue.compat.django_async import plain, running
from pgqueue.compat.django_async.base import AsyncManager, AsyncModel
from pgqueue.compat.locking import LockingQuerySet
from pgqueue.core.errors import JobStateError
from pgqueue.django import conf
from pgqueue.django.models import Job as NativeJob
from pgqueue.django.models.base import MomentField

#: Of a job: neither run nor cancelled; and either of it.
OPEN = Q(executed__isnull=True, cancelled__isnull=True)
OVER = Q(executed__isnull=False) | Q(cancelled__isnull=False)

Estimate = tuple[dt.timedelta, dt.timedelta, dt.timedelta] | tuple[None, None, None]


class Group(AsyncModel):
    """Jobs that are followed together."""

    id = models.BigAutoField(_("id"), primary_key=True)
    reference = models.CharField(_("reference"), max_length=100)
    description = models.TextField(_("description"), blank=True, null=True)
    created = MomentField(_("created"), auto_now_add=True)
    final = models.ForeignKey(
        "async.Job",
        models.CASCADE,
        db_constraint=False,
        blank=True,
        null=True,
        related_name="ends",
        verbose_name=_("final"),
        help_text=_("The job that runs when all others are over."),
    )

    class Meta:
        managed = False
        db_table = '"pgqueue"."async_groups"'
        verbose_name = _("group")
        verbose_name_plural = _("groups")

    def __str__(self) -> str:
        return str(self.reference)

    def save(self, *args: Any, **options: Any) -> None:
        """Save the group; its final job becomes a member.

        Raises:
            ValidationError: another group of that reference has jobs that are open; or the final
                job would join a group in which jobs are over.
        """
        others = Job.objects.filter(OPEN, group__reference=self.reference)
        if others.exclude(group__id=self.pk).exists():
            raise ValidationError(f"Group reference [{self.reference}] still has unexecuted jobs.")
        final = self.final
        joins = final is not None and (final.group_id is None or final.group_id != self.pk)
        if joins and self.pk is not None:
            _check_open(final, self)
        with transaction.atomic(using=conf.database()):
            super().save(*args, **options)
            if joins:
                # The queue has made it a member with that.
                final.group = self
                final.save()

    def on_completion(self, job: "Job") -> None:
        """Let a job run when all others of the group are over."""
        self.final = job
        self.save()

    def estimate_execution_duration(self) -> Estimate:
        """Estimate how long the group takes as a whole, still, and so far; None where nothing can
        be said yet."""
        found = self.jobs.aggregate(
            all_jobs=Count("id"),
            all_executed=Count("executed"),
            all_cancelled=Count("cancelled"),
            latest=Max("executed"),
        )
        return estimate(
            self.created,
            jobs=found["all_jobs"],
            executed=found["all_executed"],
            cancelled=found["all_cancelled"],
            latest=found["latest"],
        )

    def latest_executed_job(self) -> "Job | None":
        """Give the job that was executed last; None for none."""
        found: Job | None = self.jobs.filter(executed__isnull=False).order_by("-executed").first()
        return found

    def has_completed(self, exclude: "Job | None" = None) -> bool:
        """Tell whether there are jobs, and all of them are over.

        Args:
            exclude: a job that does not count.
        """
        open_jobs = Q(OPEN) if exclude is None else Q(OPEN) & ~Q(pk=exclude.pk)
        found = self.jobs.aggregate(all_jobs=Count("id"), all_open=Count("id", filter=open_jobs))
        return bool(found["all_jobs"] and not found["all_open"])

    @staticmethod
    def latest_group_by_reference(reference: str) -> "Group":
        """Give the latest group of a reference; a new one where there is none, or all its jobs are
        over."""
        group: Group | None = (
            Group.objects.filter(reference=reference).order_by("-created", "-id").first()
        )
        if group is None:
            return Group.objects.create(reference=reference)  # type: ignore[no-any-return]
        if group.has_completed():
            return Group.objects.create(  # type: ignore[no-any-return]
                reference=reference, description=group.description
            )
        return group


def estimate(
    created: dt.datetime,
    *,
    jobs: int,
    executed: int,
    cancelled: int,
    latest: dt.datetime | None,
) -> Estimate:
    """Estimate the duration of a group; see `Group.estimate_execution_duration`."""
    over = executed + cancelled
    if over == 0:
        return None, None, None
    if over < jobs:
        consumed = timezone.now() - created
        whole = consumed / over * jobs
        return whole, whole - consumed, consumed
    if latest is None:
        return None, None, None
    return latest - created, dt.timedelta(), latest - created


class Job(AsyncModel):
    """A function that is to be called."""

    id = models.BigAutoField(_("id"), primary_key=True)
    name = models.CharField(_("name"), max_length=400)
    args = plain.JsonTextField(_("arguments"), default="[]")
    kwargs = plain.JsonTextField(_("keyword arguments"), default="{}")
    meta = plain.JsonTextField(_("meta"), default="{}")
    result = plain.JsonTextField(_("result"), blank=True)
    priority = models.IntegerField(_("priority"), default=running.PRIORITY)
    identity = models.CharField(_("identity"), max_length=100, blank=True, null=True)
    added = MomentField(_("added"), auto_now_add=True)
    scheduled = MomentField(
        _("scheduled"), null=True, blank=True, help_text=_("If not set, will be executed ASAP")
    )
    started = MomentField(_("started"), null=True, blank=True)
    executed = MomentField(_("executed"), null=True, blank=True)
    cancelled = MomentField(_("cancelled"), null=True, blank=True)
    group = models.ForeignKey(
        Group,
        models.CASCADE,
        db_constraint=False,
        null=True,
        blank=True,
        related_name="jobs",
        verbose_name=_("group"),
    )

    #: What the row held when it was read, by name of the column.
    _held: dict[str, Any] | None = None

    objects = AsyncManager.from_queryset(LockingQuerySet)()

    class Meta:
        managed = False
        db_table = '"pgqueue"."async_jobs"'
        verbose_name = _("job")
        verbose_name_plural = _("jobs")

    def __str__(self) -> str:
        args = [repr(value) for value in plain.loads(self.args)]
        kwargs = sorted(f"{name}={value!r}" for name, value in plain.loads(self.kwargs).items())
        return f"{self.name}({', '.join(args + kwargs)})"

    @classmethod
    def from_db(
        cls, db: Any, field_names: Collection[str], values: Collection[Any], **options: Any
    ) -> Any:
        """Make it of a row, and remember the row."""
        made = super().from_db(db, field_names, values, **options)
        made._hold()
        return made

    def refresh_from_db(self, *args: Any, **options: Any) -> None:
        """Read the row again."""
        super().refresh_from_db(*args, **options)
        self._hold()

    def save(self, *args: Any, **options: Any) -> None:
        """Save the job; of one that was read, what has changed: the queue goes on meanwhile.

        Raises:
            ValidationError: it would join a group in which jobs are over.
        """
        held = self._held
        is_new = self._state.adding or held is None
        group = self.group
        if group is not None and (is_new or held is None or held.get("group_id") != group.pk):
            _check_open(self, group)
        if (
            is_new
            or held is None
            or any(held.get(name) != getattr(self, name) for name in ("name", "args", "kwargs"))
        ):
            self.identity = identity_of(self)
        if not is_new and held is not None and not args and "update_fields" not in options:
            options["update_fields"] = self._changed(held)
        super().save(*args, **options)
        self._hold()

    def execute(self, **_meta: Any) -> Any:
        """Run the job here and now, due or not; gives what its function returns.

        The call and the finish of the job are one transaction. When it fails the failure is stored,
        and the job comes back later.

        Raises:
            JobStateError: a worker is running it.
            Exception: what the function raises.
        """
        if self._state.adding or self._held is None or self._changed(self._held):
            self.save()
        taken: list[Any] = []
        token = running.returned.set(taken)
        try:
            self._let_go()
            ran = here.run_one(self.pk, running.QUEUE)
        finally:
            running.returned.reset(token)
        self.refresh_from_db()
        if ran.error is not None:
            raise ran.error
        return taken[-1] if taken else ran.result

    def _let_go(self) -> None:
        """See to it that the job waits for nothing but its time."""
        found = NativeJob.objects.with_state().get(pk=self.pk)
        if found.state == "running":
            raise JobStateError(f"job {self.pk} must not be running to be executed; it is")
        if found.state == "blocked":
            Group.objects.filter(final=self.pk).update(final=None)
        elif found.state not in ("ready", "scheduled"):
            found.retry()

    def _changed(self, held: dict[str, Any]) -> list[str]:
        """Name the fields that are not what the row held."""
        return [
            field.name
            for field in self._meta.concrete_fields
            if not field.primary_key
            and field.attname in self.__dict__
            and (field.attname not in held or held[field.attname] != self.__dict__[field.attname])
        ]

    def _hold(self) -> None:
        self._held = {
            field.attname: self.__dict__[field.attname]
            for field in self._meta.concrete_fields
            if field.attname in self.__dict__
        }


def identity_of(job: Job) -> str:
    """Give what two jobs have in common that call the same function with the same arguments."""
    return hashlib.sha1(str(job).encode()).hexdigest()


def _check_open(job: Job, group: Group) -> None:
    """Pass where a job may join a group, or is a member already."""
    members = Job.objects.filter(group_id=group.pk)
    if job.pk is not None and members.filter(pk=job.pk).exists():
        return
    if members.filter(OVER).exists():
        raise ValidationError(
            f"Cannot add job [{job.name}] to group [{group.reference}] because this group has "
            "executed jobs."
        )


class Error(AsyncModel):
    """A failure of a job."""

    id = models.BigAutoField(_("id"), primary_key=True)
    job = models.ForeignKey(
        Job, models.CASCADE, db_constraint=False, related_name="errors", verbose_name=_("job")
    )
    executed = MomentField(_("executed"), auto_now_add=True)
    exception = models.TextField(_("exception"))
    traceback = models.TextField(_("traceback"))

    class Meta:
        managed = False
        db_table = '"pgqueue"."async_errors"'
        verbose_name = _("error")
        verbose_name_plural = _("errors")

    def __str__(self) -> str:
        return f"{self.executed} : {self.exception}"
