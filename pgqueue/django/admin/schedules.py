"""The schedules in the admin: what recurs, when it runs next, what came of it; make and change."""

import datetime as dt
from collections.abc import Callable
from typing import Any, ClassVar, Final
from zoneinfo import available_timezones

from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.urls import path, reverse
from django.utils import formats
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from pgqueue.api.default import default_app
from pgqueue.api.schedules import Schedule as Handle
from pgqueue.core.errors import PgQueueError
from pgqueue.core.rules import parse_zone
from pgqueue.db.statements import browsing
from pgqueue.django import conf
from pgqueue.django.admin.base import QueuePage, ask, may, note
from pgqueue.django.admin.discovery import known_tasks
from pgqueue.django.admin.rule_words import in_words
from pgqueue.django.admin.schedule_form import CATCH_UPS, OVERLAPS, ScheduleForm, initial_of
from pgqueue.django.admin.show import badge, moment
from pgqueue.django.models import Schedule, ScheduleOverview

_MOST: Final = 500
_NEXT: Final = 5
_STATUSES: Final = {
    "active": _("active"),
    "paused": _("paused"),
    "error": _("error"),
    "ended": _("ended"),
    "undeclared": _("undeclared"),
}
_ACTS: Final[dict[str, tuple[str, Any, Callable[[Handle], object]]]] = {
    "run": ("run_schedule", _("run now"), Handle.run_now),
    "pause": ("pause_schedule", _("paused"), Handle.pause),
    "resume": ("pause_schedule", _("resumed"), Handle.resume),
    "delete": ("delete_schedule", _("deleted"), Handle.delete),
}


class ScheduleAdmin(QueuePage):
    """The list of schedules, and the page of one with its form."""

    class Media:
        css: ClassVar = {"all": ("admin/css/forms.css",)}
        js = ("pgqueue/schedule.js",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Ask for the permission."""
        return may(request, "add_schedule")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission."""
        return may(request, "change_schedule")

    def get_urls(self) -> list[Any]:
        """Add the addresses of what is done, and of what the form asks for as one types."""
        view = self.admin_site.admin_view
        own = [
            path("preview/", view(self.preview_view), name="pgqueue_schedule_preview"),
            path(
                "<path:object_id>/act/<slug:name>/", view(self.act_view),
                name="pgqueue_schedule_act",
            ),
        ]  # fmt: skip
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the schedules, with what comes next and how the last job ended."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        word = request.GET.get("q", "").replace("\0", "")[:200]
        found = ScheduleOverview.objects.using(conf.database()).defer("last_result")
        if word:
            found = found.filter(name__icontains=word) | found.filter(task__icontains=word)
        rows = list(found[: _MOST + 1])
        for row in rows:
            row.words = in_words(row.kind, row.rule, row.timezone, row.starts_at)
            row.shows_rule = row.rule not in row.words
            row.shown_status = _STATUSES.get(row.status, row.status)
            row.shown_next = _next(row)
            row.address = quote(row.name)
            row.last_badge = badge(row.last_state) if row.last_state else ""
        site = self.admin_site.name
        return self.page(
            request,
            "schedules",
            gettext("Schedules"),
            rows=rows[:_MOST],
            cut=len(rows) > _MOST,
            most=_MOST,
            word=word,
            tools=[(reverse(f"{site}:pgqueue_schedule_add"), "addlink", gettext("Add schedule"))]
            if self.has_add_permission(request)
            else [],
            may_run=may(request, "run_schedule"),
            may_pause=may(request, "pause_schedule"),
            may_view_jobs=may(request, "view_job"),
            **(extra_context or {}),
        )

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Make a schedule."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ScheduleForm(request.POST if request.method == "POST" else None)
        return self._save(request, form, None) or self._form(
            request, form, gettext("Add schedule"), None
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show a schedule; a POST changes it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        schedule = self._find(unquote(object_id))
        if schedule is None:
            text = gettext("There is no schedule “%(name)s”.") % {"name": unquote(object_id)[:50]}
            self.say(request, text, well=False)
            return HttpResponseRedirect(self.address)
        if request.method == "POST":
            if not self.has_change_permission(request):
                raise PermissionDenied
            # Another name would be another schedule.
            form = ScheduleForm({**request.POST.dict(), "name": schedule.name}, kept=schedule)
        else:
            form = ScheduleForm(initial=initial_of(schedule))
        return self._save(request, form, schedule) or self._form(
            request, form, gettext("Schedule %(name)s") % {"name": schedule.name}, schedule
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Show who did what: the log is written by name."""
        schedule = self._find(unquote(object_id))
        if schedule is None:
            raise Http404
        return super().history_view(request, object_id, extra_context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Find by name, which addresses here are made of."""
        return self._find(object_id)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Send Django's own address to ours."""
        name = f"{self.admin_site.name}:pgqueue_schedule_change"
        return HttpResponseRedirect(reverse(name, args=[object_id]))

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Run, pause, resume or delete; POST only."""
        if name not in _ACTS:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        permission, word, call = _ACTS[name]
        if not self.has_view_permission(request) or not may(request, permission):
            raise PermissionDenied
        schedule = unquote(object_id)
        if name == "delete" and "sure" not in request.POST:
            return self.page(
                request, "schedule_delete", gettext("Delete schedule"), above=self.address,
                name=schedule, address=object_id,
            )  # fmt: skip
        try:
            call(default_app().schedules.get(schedule))
        except PgQueueError as error:
            self.say(request, str(error), well=False)
        else:
            note(request, Schedule, {schedule: schedule}, str(word), deleted=name == "delete")
            words = {"name": schedule, "what": word}
            self.say(request, gettext("Schedule %(name)s: %(what)s.") % words)
        if name == "delete" or request.POST.get("back") == "list":
            return HttpResponseRedirect(self.address)
        address = f"{self.admin_site.name}:pgqueue_schedule_change"
        return HttpResponseRedirect(reverse(address, args=[quote(schedule)]))

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Say what a form that is not saved yet would do: its words, its next runs, its errors."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        form = ScheduleForm(request.POST)
        form.is_valid()
        found: dict[str, Any] = {"words": "", "next": [], "errors": form.errors}
        if form.recurrence is not None:
            rule = form.recurrence
            found["words"] = in_words(rule.kind, rule.text, rule.timezone, rule.starts_at)
            slots = rule.preview(_NEXT, dt.datetime.now(dt.UTC))
            found["next"] = [_slot(slot, rule.timezone) for slot in slots]
        return JsonResponse(found)

    def _find(self, name: str) -> Any:
        return Schedule.objects.using(conf.database()).filter(name=name.replace("\0", "")).first()

    def _save(self, request: HttpRequest, form: ScheduleForm, schedule: Any) -> Any:
        if not form.is_bound or not form.is_valid():
            return None
        try:
            name = form.save()
        except PgQueueError as error:
            form.add_error(None, str(error))
            return None
        word = gettext("changed") if schedule else gettext("added")
        note(request, Schedule, {name: name}, str(word))
        self.say(request, gettext("Schedule %(name)s: %(what)s.") % {"name": name, "what": word})
        address = f"{self.admin_site.name}:pgqueue_schedule_change"
        return HttpResponseRedirect(reverse(address, args=[quote(name)]))

    def _form(
        self, request: HttpRequest, form: ScheduleForm, title: str, schedule: Any
    ) -> HttpResponse:
        context: dict[str, Any] = {}
        history = f"{self.admin_site.name}:pgqueue_schedule_history"
        if schedule is not None:
            handle = default_app().schedules.get(schedule.name)
            try:
                slots = [_slot(slot, schedule.timezone) for slot in handle.preview(_NEXT)]
            except PgQueueError:
                slots = []
            context = {
                "words": in_words(
                    schedule.kind, schedule.rule, schedule.timezone, schedule.starts_at
                ),
                "slots": slots,
                "runs": [
                    (run, badge(run.state) if run.state else "") for run in handle.history(20)
                ],
                "catch_up": CATCH_UPS.get(schedule.catch_up, schedule.catch_up),
                "overlap": OVERLAPS.get(schedule.overlap, schedule.overlap),
                "address": quote(schedule.name),
                "tools": [
                    (reverse(history, args=[quote(schedule.name)]), "historylink", _("History"))
                ],
            }
        offers = self.has_change_permission(request) if schedule else True
        names = ask(browsing.names()) if offers else browsing.Names()
        return self.page(
            request,
            "schedule",
            title,
            above=self.address,
            form=form,
            schedule=schedule,
            original=schedule,
            may_change=offers,
            may_run=may(request, "run_schedule"),
            may_pause=may(request, "pause_schedule"),
            may_delete=may(request, "delete_schedule"),
            may_view_jobs=may(request, "view_job"),
            shows_payload=may(request, "view_job_payload"),
            tasks=sorted({*known_tasks().names(), *names.tasks})[:1000],
            queues=names.queues[:1000],
            zones=sorted(available_timezones()),
            **context,
        )


def _next(row: Any) -> Any:
    """Show when a schedule runs next, as far as it is known."""
    if row.next_run_at is None and row.status == "active":
        return gettext("as soon as a worker has planned it")
    return moment(row.next_run_at)


def _slot(slot: Any, zone: str) -> str:
    """Write a planned instant on the clocks that its rule means."""
    local = slot.astimezone(parse_zone(zone))
    return f"{formats.date_format(local, gettext('D j M Y'))} {local:%H:%M:%S %Z}"
