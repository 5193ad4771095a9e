"""What became of tasks."""

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from pgqueue.compat.django_q.fields import PackedField
from pgqueue.compat.django_q.managers import FailureManager, QManager, QModel, SuccessManager

#: The length of an id: 32 hexadecimal digits.
ID_LENGTH = 32


class Task(QModel):
    """A task that has run and was saved."""

    id = models.CharField(
        _("Task id"),
        max_length=ID_LENGTH,
        primary_key=True,
        editable=False,
        help_text=_("32 hexadecimal digits."),
    )
    name = models.CharField(
        _("Name"), max_length=100, editable=False, help_text=_("For people; any id may be a name.")
    )
    func = models.CharField(
        _("Function"), max_length=256, help_text=_("Dotted path, as shop.tasks.send.")
    )
    hook = models.CharField(
        _("Hook"), max_length=256, null=True, help_text=_("Dotted path, called with the task.")
    )
    args = PackedField(_("Arguments"), null=True)
    kwargs = PackedField(_("Keyword arguments"), null=True)
    result = PackedField(
        _("Result"), null=True, help_text=_("What it returned, or the text of its error.")
    )
    group = models.CharField(
        _("Group"), max_length=100, editable=False, null=True, help_text=_("A shared label.")
    )
    cluster = models.CharField(
        _("Cluster"),
        max_length=100,
        default=None,
        null=True,
        blank=True,
        help_text=_("The queue whose worker ran it."),
    )
    started = models.DateTimeField(
        _("Started at"), editable=False, help_text=_("When it was enqueued.")
    )
    stopped = models.DateTimeField(
        _("Stopped at"), editable=False, help_text=_("When it had ended.")
    )
    success = models.BooleanField(
        _("Success"), default=True, editable=False, help_text=_("Whether it returned.")
    )
    attempt_count = models.IntegerField(
        _("Attempt count"), default=0, help_text=_("Attempts that were saved.")
    )

    objects = QManager()

    class Meta:
        app_label = "django_q"
        managed = False
        db_table = '"pgqueue"."django_q_tasks"'
        verbose_name = _("Task")
        verbose_name_plural = _("Tasks")
        ordering: ClassVar = ["-stopped"]

    def __str__(self) -> str:
        return f"{self.name or self.id}"

    @staticmethod
    def get_result(task_id: str) -> Any:
        """Give the result of a task by its id or name; None where there is no such task."""
        task = Task.get_task(task_id)
        return None if task is None else task.result

    @staticmethod
    def get_task(task_id: str) -> "Task | None":
        """Give a task by its id or name.

        Raises:
            MultipleObjectsReturned: several have the name.
        """
        if len(task_id) == ID_LENGTH:
            found: Task | None = Task.objects.filter(id=task_id).first()
            if found is not None:
                return found
        try:
            named: Task = Task.objects.get(name=task_id)
            return named
        except Task.DoesNotExist:
            return None

    @staticmethod
    def get_result_group(group_id: str, failures: bool = False) -> Any:
        """Give the results of a group, without those that failed unless asked for."""
        return Task.get_task_group(group_id, failures).values_list("result", flat=True)

    def group_result(self, failures: bool = False) -> Any:
        """Give the results of its group; None where it has none."""
        return self.get_result_group(self.group, failures) if self.group else None

    @staticmethod
    def get_group_count(group_id: str, failures: bool = False) -> int:
        """Count the tasks of a group, or only those that failed."""
        found = Task.objects.filter(group=group_id)
        return int((found.filter(success=False) if failures else found).count())

    def group_count(self, failures: bool = False) -> int | None:
        """Count the tasks of its group; None where it has none."""
        return self.get_group_count(self.group, failures) if self.group else None

    @staticmethod
    def delete_group(group_id: str, objects: bool = False) -> Any:
        """Take the label from all tasks of a group; or delete them.

        Returns:
            How many had the label; of a deletion what Django gives for one.
        """
        group = Task.objects.filter(group=group_id)
        return group.delete() if objects else group.update(group=None)

    def group_delete(self, tasks: bool = False) -> Any:
        """Take the label from its group, or delete that; None where it has none."""
        return self.delete_group(self.group, tasks) if self.group else None

    @staticmethod
    def get_task_group(group_id: str, failures: bool = True) -> Any:
        """Give the tasks of a group, without those that failed if asked for."""
        found = Task.objects.filter(group=group_id)
        return found if failures else found.exclude(success=False)

    def time_taken(self) -> float:
        """Give the seconds from being enqueued to the end."""
        return float((self.stopped - self.started).total_seconds())


class Success(Task):
    """A task that has succeeded."""

    objects = SuccessManager()

    class Meta:
        app_label = "django_q"
        verbose_name = _("Successful task")
        verbose_name_plural = _("Successful tasks")
        ordering: ClassVar = ["-stopped"]
        proxy = True


class Failure(Task):
    """A task that has failed."""

    objects = FailureManager()

    class Meta:
        app_label = "django_q"
        verbose_name = _("Failed task")
        verbose_name_plural = _("Failed tasks")
        ordering: ClassVar = ["-stopped"]
        proxy = True
