"""The queues in the admin: how many jobs wait, pause and resume, how long jobs are kept."""

from typing import Any, Final

from django import forms
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from pgqueue.api.default import default_app
from pgqueue.core.errors import ConfigurationError, PgQueueError
from pgqueue.core.limits import MAX_COUNT, check_rate
from pgqueue.core.options import check_queue
from pgqueue.django.admin.base import QueuePage, may, note
from pgqueue.django.admin.offsets import OffsetField, offset_of
from pgqueue.django.admin.show import span
from pgqueue.django.models import Queue, QueueStats


class PauseForm(forms.Form):
    """How long a queue pauses."""

    resume_in = OffsetField(
        label=_("Resume in"), help_text=_("Such as 30m, 2h, 1d; empty for no end.")
    )


class RetentionForm(forms.Form):
    """How long jobs that are over are kept."""

    retention_succeeded = OffsetField(
        label=_("Keep succeeded jobs"),
        help_text=_("Such as 12h, 7d; 0 deletes them at once; empty for 7 days."),
    )
    retention_other = OffsetField(
        label=_("Keep other jobs"), help_text=_("Failed, cancelled, expired; empty for 30 days.")
    )


class LimitForm(forms.Form):
    """What limits a queue; empty for no limit."""

    max_running = forms.IntegerField(
        label=_("Run at most"),
        required=False,
        min_value=0,
        max_value=MAX_COUNT,
        help_text=_("Jobs at once, of all workers together; 0 holds the queue."),
    )
    rate = forms.CharField(
        label=_("Rate"), required=False, max_length=30, help_text=_("Such as 5/s, 100/m, 1000/2h.")
    )
    max_pending = forms.IntegerField(
        label=_("Let wait at most"),
        required=False,
        min_value=0,
        max_value=MAX_COUNT,
        help_text=_("More jobs are refused when they are enqueued."),
    )

    def clean_rate(self) -> str | None:
        """Refuse what is no rate."""
        rate = self.cleaned_data["rate"]
        try:
            return check_rate(rate) if rate else None
        except ConfigurationError as error:
            raise forms.ValidationError(str(error)) from error


#: What is done with a queue, by its form and the permission it takes.
_ACTS: Final[dict[str, tuple[type[forms.Form] | None, str]]] = {
    "pause": (PauseForm, "pause_queue"),
    "resume": (None, "pause_queue"),
    "configure": (RetentionForm, "change_queue"),
    "limit": (LimitForm, "change_queue"),
}


class QueueAdmin(QueuePage):
    """The list of queues, and the page of one."""

    def get_urls(self) -> list[Any]:
        """Add the address of what is done with a queue."""
        own = path(
            "<path:object_id>/act/<slug:name>/",
            self.admin_site.admin_view(self.act_view),
            name="pgqueue_queue_act",
        )
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the queues that have waiting or running jobs, or settings."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = list(QueueStats.objects.all())
        for row in rows:
            row.waits_text = span(row.first_waits_seconds)
        return self.page(
            request,
            "queues",
            gettext("Queues"),
            rows=[(row, quote(row.queue)) for row in rows],
            most=max([row.ready for row in rows], default=0),
            may_pause=may(request, "pause_queue"),
            **(extra_context or {}),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one queue, which needs no row of its own."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._show(request, unquote(object_id), **(extra_context or {}))

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Pause, resume, limit or configure; POST only."""
        queue = unquote(object_id)
        if name not in _ACTS:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        kind, needed = _ACTS[name]
        if not self.has_view_permission(request) or not may(request, needed):
            raise PermissionDenied
        queues = default_app().queues
        form: forms.Form | None = None
        try:
            if kind is None:
                queues.resume(queue)
                text = gettext("resumed.")
            else:
                form = kind(request.POST)
                if not form.is_valid():
                    return self._show(request, queue, **{f"{name}_form": form})
                if name == "pause":
                    queues.pause(queue, resume_in=form.cleaned_data["resume_in"])
                    text = gettext("paused; running jobs go on.")
                elif name == "limit":
                    queues.configure(queue, **form.cleaned_data)
                    text = gettext("limits set; running jobs go on.")
                else:
                    queues.configure(queue, **form.cleaned_data)
                    text = gettext("retention set for jobs that end from now on.")
        except PgQueueError as error:
            self.say(request, str(error), well=False)
        else:
            note(request, Queue, {queue: queue}, text)
            words = {"name": queue, "what": text}
            self.say(request, gettext("Queue %(name)s: %(what)s") % words)
        if request.POST.get("back") == "list":
            return HttpResponseRedirect(self.address)
        name = f"{self.admin_site.name}:pgqueue_queue_change"
        return HttpResponseRedirect(reverse(name, args=[quote(queue)]))

    def _show(self, request: HttpRequest, queue: str, **extra: Any) -> HttpResponse:
        try:
            check_queue(queue)
        except ConfigurationError as error:
            raise Http404(str(error)) from error
        row = QueueStats.objects.filter(pk=queue).first()
        settings = Queue.objects.filter(pk=queue).first() or Queue(name=queue)
        context = {
            "above": self.address,
            "row": row,
            "settings": settings,
            "original": settings,
            "address": quote(queue),
            "may_pause": may(request, "pause_queue"),
            "may_change": may(request, "change_queue"),
            "pause_form": PauseForm(),
            "limit_form": LimitForm(
                initial={
                    "max_running": settings.max_running,
                    "rate": _rate_of(settings),
                    "max_pending": settings.max_pending,
                }
            ),
            "configure_form": RetentionForm(
                initial={
                    "retention_succeeded": offset_of(settings.retention_succeeded),
                    "retention_other": offset_of(settings.retention_other),
                }
            ),
            **extra,
        }
        return self.page(request, "queue", gettext("Queue %(name)s") % {"name": queue}, **context)


def _rate_of(settings: Any) -> str:
    """Write the rate of a queue as it is typed."""
    if settings.rate_jobs is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        parts, left = divmod(settings.rate_seconds, length)
        if not left:
            return f"{settings.rate_jobs}/{'' if parts == 1 else int(parts)}{unit}"
    return (
        f"{settings.rate_jobs}/{'' if settings.rate_seconds == 1 else int(settings.rate_seconds)}s"
    )
