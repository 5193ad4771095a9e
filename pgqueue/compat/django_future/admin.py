"""The page of scheduled jobs, as the old library had it."""

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from pgqueue.compat.django_future import running
from pgqueue.compat.django_future.models import ScheduledJob
from pgqueue.core.errors import PgQueueError
from pgqueue.django.admin.payload import HIDDEN, is_secret
from pgqueue.django.admin.show import NONE, cut

#: Characters of a value that lists show.
_MOST: Final = 120


class ScheduledJobForm(forms.ModelForm):
    """What may be set of a job: not what the queue knows better."""

    def clean(self) -> Any:
        """Refuse what may not be run, saying what to add to which setting; a status that a worker
        alone gives or takes; and a slot that ends too early."""
        found = super().clean() or self.cleaned_data
        status = found.get("status")
        stands = (
            ScheduledJob.objects.filter(pk=self.instance.pk)
            .values_list("status", flat=True)
            .first()
        )
        if stands == "running" and status not in (None, "running"):
            self.add_error("status", _("It is running; wait for it, or cancel it."))
        elif status == "running" and stands != "running":
            self.add_error("status", _("A job runs when a worker takes it: set it to scheduled."))
        start, end = found.get("time_slot_start"), found.get("time_slot_end")
        if start and end and end <= start:
            self.add_error("time_slot_end", _("It must be later than the start."))
        name, kind = found.get("callable_name"), found.get("content_type")
        if name and "." not in name and not (kind and found.get("object_id")):
            self.add_error("callable_name", _("A method needs a content type and an object ID."))
        elif name:
            try:
                running.check(name, None if kind is None else kind.model_class())
            except PgQueueError as error:
                self.add_error("callable_name", str(error))
        return found


@admin.register(ScheduledJob)
class ScheduledJobAdmin(admin.ModelAdmin):
    """Scheduled jobs: when they run, what became of them."""

    form = ScheduledJobForm
    status_colors: ClassVar = {
        "default": "inherit",
        "running": "#356aa0",
        "failed": "#b02b2c",
        "complete": "#006e2e",
        "expired": "#888",
    }
    list_display: ClassVar = [
        "time_slot_start",
        "colorful_status",
        "callable_name",
        "shown_args",
        "shown_kwargs",
        "return_value",
    ]
    list_filter = ("status",)
    date_hierarchy = "time_slot_start"
    search_fields = ("callable_name",)
    show_full_result_count = False
    readonly_fields = (
        "execution_start",
        "shown_args",
        "shown_kwargs",
        "shown_error",
        "return_value",
        "native",
    )
    fieldsets = (
        (None, {"fields": ("status",)}),
        (
            gettext_lazy("Schedule"),
            {"fields": ("time_slot_start", "time_slot_end", "execution_start")},
        ),
        (
            gettext_lazy("Job"),
            {
                "fields": (
                    "callable_name",
                    ("content_type", "object_id"),
                    "shown_args",
                    "shown_kwargs",
                    "shown_error",
                    "return_value",
                    "native",
                )
            },
        ),
    )

    @admin.display(description=gettext_lazy("Status"), ordering="status")
    def colorful_status(self, obj: Any) -> Any:
        """Show the status in its colour."""
        color = self.status_colors.get(obj.status, self.status_colors["default"])
        return format_html('<strong style="color: {}">{}</strong>', color, obj.get_status_display())

    @admin.display(description=gettext_lazy("args"))
    def shown_args(self, obj: Any) -> str:
        """Show the positional arguments."""
        return _shown(obj, "args")

    @admin.display(description=gettext_lazy("kwargs"))
    def shown_kwargs(self, obj: Any) -> str:
        """Show the keyword arguments, secrets left out."""
        return _shown(obj, "kwargs")

    @admin.display(description=gettext_lazy("error"))
    def shown_error(self, obj: Any) -> Any:
        """Show the traceback as it is."""
        return format_html("<pre>{}</pre>", obj.error) if obj.error else NONE

    @admin.display(description=gettext_lazy("in the queue"))
    def native(self, obj: Any) -> Any:
        """Lead to the page of the same job among all jobs."""
        if obj.pk is None:
            return NONE
        try:
            address = reverse(f"{self.admin_site.name}:pgqueue_job_change", args=[obj.pk])
        except NoReverseMatch:
            return str(obj.pk)
        return format_html('<a href="{}">{}</a>', address, _("Job %(id)s") % {"id": obj.pk})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for a job that runs."""
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and (obj is None or obj.status != "running")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Show for confirmation what will be deleted: not what runs."""
        return super().get_deleted_objects(
            [job for job in objs if job.status != "running"], request
        )

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Delete the selected jobs, but for those that run."""
        left = queryset.filter(status="running").count()
        queryset.exclude(status="running").delete()
        if left:
            text = ngettext(
                "%(count)d job is running and was left.",
                "%(count)d jobs are running and were left.",
                left,
            )
            self.message_user(request, text % {"count": left}, messages.WARNING)


def _shown(job: Any, name: str) -> str:
    try:
        value = getattr(job, name)
        if isinstance(value, dict):
            value = {key: HIDDEN if is_secret(key) else one for key, one in value.items()}
        return cut(repr(value), _MOST)
    except Exception:
        # A row that is gone, a class that is gone, or a __repr__ of a stranger.
        return str(_("cannot be read"))
