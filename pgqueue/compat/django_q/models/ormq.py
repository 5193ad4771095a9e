"""The queue: tasks that wait or run."""

from typing import Any

from django.db import DatabaseError, models, transaction
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from pgqueue.compat.django_q import packages
from pgqueue.compat.django_q.managers import QManager, QModel
from pgqueue.compat.django_q.utils import get_func_repr
from pgqueue.compat.locking import LockingQuerySet
from pgqueue.django import conf
from pgqueue.django.models.base import MomentField

#: What of a task is not an option.
_NOT_OPTIONS = frozenset({"id", "name", "group", "func", "args", "kwargs"})


class OrmQ(QModel):
    """A task that waits or runs: a job of the queue, in the words of the old broker."""

    id = models.BigAutoField(_("ID"), primary_key=True)
    key = models.CharField(_("Cluster key"), max_length=100, help_text=_("Name of the cluster."))
    payload = models.TextField(_("Payload"), help_text=_("What is to be done."))
    lock = MomentField(_("Lock until"), null=True, help_text=_("No cluster takes it before."))
    state = models.TextField(
        _("State"), null=True, editable=False, help_text=_("Where its job stands.")
    )

    objects = QManager.from_queryset(LockingQuerySet)()

    class Meta:
        app_label = "django_q"
        managed = False
        db_table = '"pgqueue"."django_q_queue"'
        verbose_name = _("Queued task")
        verbose_name_plural = _("Queued tasks")

    def save(self, *args: Any, **options: Any) -> None:
        """Save it; one that runs by now, or has ended, stays as it is."""
        wanted = ("force_insert", "force_update", "update_fields")
        if args or self._state.adding or self.pk is None or any(map(options.get, wanted)):
            super().save(*args, **options)
            return
        # Django inserts what it finds no row of, which would be another job.
        using = options.get("using") or conf.database()
        try:
            with transaction.atomic(using=using):
                super().save(**{**options, "using": using, "force_update": True})
        except DatabaseError as error:
            if error.__cause__ is not None:  # The database has refused; else no row was there.
                raise

    @cached_property
    def task(self) -> dict[str, Any]:
        """What is to be done; of what cannot be read only the reason, as id."""
        try:
            return packages.read(str(self.payload))
        except Exception as error:
            return {"id": f"*{type(error).__name__}"}

    def func(self) -> str | None:
        """Name the function."""
        found: str | None = get_func_repr(self.task.get("func"))
        return found

    def task_id(self) -> str | None:
        """Give the id of the task."""
        found: str | None = self.task.get("id")
        return found

    def name(self) -> str | None:
        """Give the name of the task."""
        found: str | None = self.task.get("name")
        return found

    def group(self) -> str | None:
        """Give the group of the task."""
        found: str | None = self.task.get("group")
        return found

    def args(self) -> Any:
        """Give the positional arguments."""
        return self.task.get("args")

    def kwargs(self) -> Any:
        """Give the keyword arguments."""
        return self.task.get("kwargs")

    def q_options(self) -> dict[str, Any]:
        """Give the options."""
        return {key: value for key, value in self.task.items() if key not in _NOT_OPTIONS}

    func.short_description = _("Function")  # type: ignore[attr-defined]
    task_id.short_description = _("Task id")  # type: ignore[attr-defined]
    name.short_description = _("Name")  # type: ignore[attr-defined]
    group.short_description = _("Group")  # type: ignore[attr-defined]
    args.short_description = _("Arguments")  # type: ignore[attr-defined]
    kwargs.short_description = _("Keyword arguments")  # type: ignore[attr-defined]
    q_options.short_description = _("Queue options")  # type: ignore[attr-defined]
