"""The four pages of the admin: successes, failures, schedules, and the queue.

Projects subclass these and register their own in the place of ours.
"""

from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import truncatechars
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from pgqueue.compat.django_q.enqueueing import OPTIONS, async_task
from pgqueue.compat.django_q.models import Failure, OrmQ, Schedule, Success, Task
from pgqueue.core.errors import PgQueueError
from pgqueue.django import conf

#: More rows are not counted, nor paged through.
_MOST: Final = 10_000
#: Of so many of the first rows are the values that a filter offers.
_LOOKED_AT: Final = 1_000


class BoundedPaginator(Paginator):
    """Pages of a table that may be long: of so many rows, the count ends."""

    @cached_property
    def count(self) -> int:
        """Count the rows, up to the most that are paged through."""
        return int(self.object_list.order_by()[:_MOST].count())


class FirstValuesFilter(admin.AllValuesFieldListFilter):
    """The values of the first rows: those of all would take a look at the whole table."""

    def __init__(
        self,
        field: Any,
        request: HttpRequest,
        params: Any,
        model: Any,
        model_admin: Any,
        field_path: str,
    ) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        rows = model_admin.get_queryset(request).values_list(field_path, flat=True)
        found = set(rows[:_LOOKED_AT])
        self.lookup_choices = [*sorted(found - {None}), *(found & {None})]


@admin.action(description=_("Resubmit selected tasks to queue"), permissions=["change"])
def resubmit_task(model_admin: Any, request: HttpRequest, queryset: QuerySet) -> None:
    """Enqueue tasks anew, with what they had; one that had failed is deleted."""
    done = 0
    for pk, name in list(queryset.values_list("pk", "name")):
        try:
            with transaction.atomic(using=conf.database()):
                # One by one: a row that cannot be read keeps no other.
                task = queryset.defer(None).filter(pk=pk).first()
                if task is None:
                    continue
                _resubmit(task)
                if isinstance(model_admin, FailAdmin):
                    task.delete()
        except PgQueueError as error:
            model_admin.message_user(request, f"{name}: {error}", messages.ERROR)
        else:
            done += 1
    if done:
        words = ngettext("%d task was resubmitted.", "%d tasks were resubmitted.", done)
        model_admin.message_user(request, words % done, messages.SUCCESS)


#: Its name in the classic library.
retry_failed = resubmit_task


def _resubmit(task: Task) -> str:
    """Enqueue a task anew."""
    keywords: dict[str, Any] = task.kwargs or {}
    had = {"hook": task.hook, "group": task.group, "cluster": task.cluster}
    # An argument that has the name of an option stays one of the function.
    options = {
        name: had.get(name) for name in OPTIONS if had.get(name) is not None or name in keywords
    }
    return async_task(task.func, *(task.args or ()), **keywords, q_options=options)


class _TaskPage(admin.ModelAdmin):
    """What became of tasks; nothing is edited."""

    #: Not read for the list: they may be long, and rows that they name are fetched one by one.
    deferred: ClassVar[Any] = ("args", "kwargs")
    actions: ClassVar[Any] = [resubmit_task]
    search_fields: ClassVar[Any] = ("name", "func", "group")
    list_filter: ClassVar[Any] = (("group", FirstValuesFilter), ("cluster", FirstValuesFilter))
    readonly_fields: ClassVar[Any] = []
    paginator = BoundedPaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a task is enqueued by the application."""
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        """Give the tasks, without what the list does not show."""
        unseen = set(self.deferred) - set(self.get_list_display(request))
        return super().get_queryset(request).defer(*unseen)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Find one; what of it cannot be read says why."""
        found = super().get_object(request, object_id, from_field)
        for name in ("args", "kwargs", "result") if found is not None else ():
            try:
                getattr(found, name)
            except PgQueueError as error:
                setattr(found, name, f"({error})")
        return found

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save nothing: nothing was edited, and a save calls the hook."""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one, with nothing to save."""
        nothing = {"show_save": False, "show_save_and_continue": False}
        return super().change_view(
            request, object_id, form_url, {**nothing, **(extra_context or {})}
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Give all fields."""
        return [*self.readonly_fields, *(field.name for field in self.opts.fields)]


class TaskAdmin(_TaskPage):
    """The tasks that have succeeded."""

    deferred: ClassVar[Any] = ("args", "kwargs", "result")
    list_display: ClassVar[Any] = (
        "name", "group", "func", "cluster", "started", "stopped", "time_taken",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Give them."""
        return super().get_queryset(request).filter(success=True)

    @admin.display(description=_("Time Taken"))
    def time_taken(self, obj: Task) -> float:
        """Show the seconds from being enqueued to the end."""
        return obj.time_taken()


class FailAdmin(_TaskPage):
    """The tasks that have failed."""

    list_display: ClassVar[Any] = (
        "name", "group", "func", "cluster", "started", "stopped", "short_result",
    )  # fmt: skip

    @admin.display(description=_("Short result"))
    def short_result(self, obj: Task) -> str:
        """Show the beginning of its error."""
        return str(truncatechars(obj.result, 100))


class ScheduleAdmin(admin.ModelAdmin):
    """The schedules."""

    list_display: ClassVar[Any] = (
        "id", "name", "func", "schedule_type", "repeats", "cluster", "next_run", "get_last_run",
        "get_success",
    )  # fmt: skip
    list_filter: ClassVar[Any] = ("next_run", "schedule_type", "cluster")
    search_fields: ClassVar[Any] = ("name", "func")
    list_display_links: ClassVar[Any] = ("id", "name")
    readonly_fields: ClassVar[Any] = ("runs", "error")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Give them, each with its last task."""
        last = Task.objects.filter(id=OuterRef("task"))
        return (
            super()
            .get_queryset(request)
            .annotate(
                task_id=Subquery(last.values("id")),
                task_name=Subquery(last.values("name")),
                task_success=Subquery(last.values("success")),
            )
        )

    @admin.display(description=_("success"), boolean=True)
    def get_success(self, obj: Any) -> bool | None:
        """Show whether its last task has succeeded."""
        found: bool | None = obj.task_success
        return found

    @admin.display(description=_("last_run"))
    def get_last_run(self, obj: Any) -> str | None:
        """Link to its last task."""
        if obj.task_name is None:
            return None
        page = "success" if obj.task_success else "failure"
        url = reverse(f"{self.admin_site.name}:django_q_{page}_change", args=(obj.task_id,))
        return str(format_html('<a href="{}">[{}]</a>', url, obj.task_name))


class QueueAdmin(admin.ModelAdmin):
    """The tasks that wait or run."""

    list_display: ClassVar[Any] = ("id", "key", "name", "group", "func", "lock", "task_id")
    fields: ClassVar[Any] = (
        "key", "lock", "task_id", "name", "group", "func", "args", "kwargs", "q_options",
    )  # fmt: skip
    readonly_fields: ClassVar[Any] = fields[2:]
    list_filter: ClassVar[Any] = (("key", FirstValuesFilter),)
    paginator = BoundedPaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a task is enqueued by the application."""
        return False


admin.site.register(Schedule, ScheduleAdmin)
admin.site.register(Success, TaskAdmin)
admin.site.register(Failure, FailAdmin)
admin.site.register(OrmQ, QueueAdmin)
