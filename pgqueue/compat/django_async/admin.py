"""The pages of jobs, groups and errors in the admin."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget
from django.db.models import Count, Q
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from pgqueue.compat.django_async.models import Error, Group, Job
from pgqueue.compat.django_async.plain import JsonTextField


@admin.display(description=_("Group"))
def display_group(obj: Job) -> Any:
    """Give the reference of a job's group."""
    return obj.group.reference if obj.group else None


class ErrorInline(admin.TabularInline):
    """The failures of a job, on its page."""

    model = Error
    fields = ("executed", "lines")
    readonly_fields = ("executed", "lines")
    max_num = 0
    can_delete = False

    @admin.display(description=_("Traceback"))
    def lines(self, obj: Error) -> Any:
        """Give the traceback with its lines as they are."""
        return format_html("<pre>{}</pre>", obj.traceback)


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
    """Jobs."""

    list_display = ("__str__", "scheduled", "executed", display_group)
    list_select_related = ("group",)
    list_per_page = 50
    list_max_show_all = 200
    show_full_result_count = False
    ordering = ("-id",)
    search_fields = ("name__startswith", "=identity")
    raw_id_fields = ("group",)
    readonly_fields = ("identity", "added")
    inlines = (ErrorInline,)
    formfield_overrides: ClassVar = {JsonTextField: {"widget": AdminTextareaWidget({"rows": 3})}}


@admin.register(Group)
class GroupAdmin(admin.ModelAdmin):
    """Groups, with how many of their jobs were executed."""

    list_display = ("__str__", "description", "executed_jobs", "unexecuted_jobs")
    list_per_page = 50
    list_max_show_all = 200
    show_full_result_count = False
    ordering = ("-id",)
    search_fields = ("reference__startswith",)
    raw_id_fields = ("final",)
    readonly_fields = ("created",)

    def get_queryset(self, request: Any) -> Any:
        """Count the jobs of all groups by the query that reads them."""
        executed = Q(jobs__executed__isnull=False)
        return (
            super()
            .get_queryset(request)
            .annotate(
                executed_count=Count("jobs", filter=executed),
                unexecuted_count=Count("jobs", filter=~executed),
            )
        )

    @admin.display(description=_("Executed"))
    def executed_jobs(self, obj: Any) -> int:
        """Give how many jobs were executed."""
        return int(obj.executed_count)

    @admin.display(description=_("Unexecuted"))
    def unexecuted_jobs(self, obj: Any) -> int:
        """Give how many were not."""
        return int(obj.unexecuted_count)


@admin.register(Error)
class ErrorAdmin(admin.ModelAdmin):
    """Failures."""

    list_display = ("__str__", "job")
    list_select_related = ("job",)
    list_per_page = 50
    list_max_show_all = 200
    show_full_result_count = False
    ordering = ("-executed",)
    raw_id_fields = ("job",)
    readonly_fields = ("executed",)
