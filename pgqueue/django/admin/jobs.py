"""The jobs in the admin: a list that stays fast among millions, and what can be done from it."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from pgqueue.django.admin import filters, job_page
from pgqueue.django.admin.acts import ACTS, BY_NAME, MOST, Act
from pgqueue.django.admin.base import QueuePage, may, note
from pgqueue.django.admin.job_list import JobList
from pgqueue.django.admin.show import NONE, badge, bar, cut, moment, span, zone
from pgqueue.django.models import Job


def _action(act: Act) -> Any:
    @admin.action(permissions=[act.permission], description=act.several)
    def run(page: "JobAdmin", request: HttpRequest, queryset: Any) -> HttpResponse | None:
        return page.act_on_selected(request, act)

    run.__name__ = act.name
    return run


def _permission(name: str) -> Any:
    def has_permission(page: "JobAdmin", request: HttpRequest) -> bool:
        return may(request, name)

    return has_permission


class JobAdmin(QueuePage):
    """The list of jobs, and the page of one."""

    list_display = (
        "number", "shown_state", "shown_task", "shown_queue", "enqueued", "timing", "outcome",
    )  # fmt: skip
    list_display_links = ("number",)
    list_filter = (
        filters.StateFilter, filters.QueueFilter, filters.TaskFilter, filters.GroupFilter,
        filters.TimeFilter, filters.WorkerFilter,
    )  # fmt: skip
    list_per_page = 50
    list_max_show_all = 0
    search_fields = ("task",)
    search_help_text = _(
        "A job's id, a part of a task's name, or JSON that the arguments contain: [42], "
        '{"order": 42}.'
    )
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    actions = [_action(act) for act in ACTS]  # noqa: RUF012  # Django's way
    change_list_template = "admin/pgqueue/jobs.html"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission; Django's own pages for deleting are not used."""
        return may(request, "delete_job")

    has_retry_job_permission = _permission("retry_job")
    has_run_job_permission = _permission("run_job")
    has_cancel_job_permission = _permission("cancel_job")
    has_prioritize_job_permission = _permission("prioritize_job")
    has_move_job_permission = _permission("move_job")
    has_delete_job_permission = _permission("delete_job")

    def get_urls(self) -> list[Any]:
        """Add the address of what is done with one job."""
        own = path(
            "<int:job_id>/act/<slug:name>/",
            self.admin_site.admin_view(self.act_view),
            name="pgqueue_job_act",
        )
        return [own, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **options: Any) -> Any:
        """Give the list that counts nothing."""
        return JobList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show a page of the list; a POST does what was chosen."""
        return super().changelist_view(
            request,
            {
                "title": gettext("Jobs"),
                "may_see_payload": may(request, "view_job_payload"),
                "most": MOST,
                "zone": zone(),
                **(extra_context or {}),
            },
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Show one job."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return job_page.respond(self, request, object_id, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Send Django's own address to ours."""
        name = f"{self.admin_site.name}:pgqueue_job_change"
        return HttpResponseRedirect(reverse(name, args=[object_id]))

    # What is done.

    def act_on_selected(self, request: HttpRequest, act: Act) -> HttpResponse | None:
        """Do it with the selected jobs, or ask first."""
        if request.POST.get("select_across") == "1":
            ids: Sequence[int] = self.get_changelist_instance(request).all_ids()
            if not ids:
                self.say(
                    request,
                    gettext("Filter the list first: what is done with all jobs takes no more."),
                    well=False,
                )
                return None
        else:
            ids = [int(one) for one in request.POST.getlist(ACTION_CHECKBOX_NAME) if _is_id(one)]
        return self._act(request, act, ids, request.get_full_path())

    def act_view(self, request: HttpRequest, job_id: int, name: str) -> HttpResponse:
        """Do it with one job, or ask first; POST only."""
        act = BY_NAME.get(name)
        if act is None:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request) or not may(request, act.permission):
            raise PermissionDenied
        site = self.admin_site.name
        back = reverse(f"{site}:pgqueue_job_change", args=[job_id])
        if act.danger and "sure" in request.POST:
            back = self.address
        return self._act(request, act, [job_id], back) or HttpResponseRedirect(back)

    def _act(
        self, request: HttpRequest, act: Act, ids: Sequence[int], back: str
    ) -> HttpResponse | None:
        sure = "sure" in request.POST
        form = act.form(request.POST if sure else None) if act.form else None
        if act.question and not (sure and (form is None or form.is_valid())):
            return self.page(
                request,
                "confirm",
                act.label,
                above=self.address,
                act=act,
                form=form,
                ids=ids if request.POST.get("select_across") != "1" else ids[:1],
                count=len(ids),
                across=request.POST.get("select_across") == "1",
                queues=filters.facts(request)[1].queues if act.name == "move" else (),
                back=back,
                action_checkbox_name=ACTION_CHECKBOX_NAME,
            )
        outcomes = act.perform(ids, form.cleaned_data if form else {})
        changed = {
            one: gettext("job %(id)s") % {"id": one}
            for one, outcome in outcomes.items()
            if outcome in act.changed
        }
        note(request, Job, changed, str(act.label), deleted=act.danger)
        for text, well in act.sentences(outcomes):
            self.say(request, text, well=well)
        return None

    # What the columns show.

    @admin.display(description=_("id"))
    def number(self, job: Any) -> str:
        """Show the id."""
        return str(job.pk)

    @admin.display(description=_("state"))
    def shown_state(self, job: Any) -> Any:
        """Show the state, and the attempts where there were several."""
        if (job.attempt or 0) < 2:
            return badge(job.state)
        return format_html(
            '{} <span class="quiet" title="{}">{}</span>',
            badge(job.state), gettext("attempts"), job_page.attempts_of(job),
        )  # fmt: skip

    @admin.display(description=_("task"))
    def shown_task(self, job: Any) -> Any:
        """Show the name of the task, the function before its module."""
        name = job.task or ""
        module, _dot, function = name.rpartition(".")
        return format_html(
            '<span class="pgq-task" title="{}">{} <span class="quiet">{}</span></span>',
            name, cut(function, 60), cut(module, 60),
        )  # fmt: skip

    @admin.display(description=_("queue"))
    def shown_queue(self, job: Any) -> Any:
        """Show the queue, as a way to its jobs, and the priority that is not that of most."""
        link = format_html(
            '<a href="?{}">{}</a>', urlencode({"queue": job.queue or ""}), cut(job.queue or "", 40)
        )
        if not job.current_priority:
            return link
        return format_html(
            '{} <span class="quiet" title="{}">{}</span>',
            link, gettext("priority"), f"{job.current_priority:+d}",
        )  # fmt: skip

    @admin.display(description=_("enqueued"))
    def enqueued(self, job: Any) -> Any:
        """Show when it was enqueued."""
        return moment(job.created_at)

    @admin.display(description=_("start / end"))
    def timing(self, job: Any) -> Any:
        """Show when it starts, or has ended, and how long it took."""
        if job.finished_at:
            if not job.started_at:
                return moment(job.finished_at)
            return format_html(
                '{} <span class="quiet">{}</span>',
                moment(job.finished_at), span(job.finished_at - job.started_at),
            )  # fmt: skip
        if job.started_at:
            so_far = timezone.now() - job.started_at
            return format_html(
                '{} <span class="quiet">{}</span>',
                moment(job.started_at), gettext("for %(span)s") % {"span": span(so_far)},
            )  # fmt: skip
        if job.state == "scheduled":
            return moment(job.due_at)
        return NONE

    @admin.display(description=_("what came of it"))
    def outcome(self, job: Any) -> Any:
        """Show progress, the error, or why it waits."""
        if job.state == "running":
            if job.stop_asked_at:
                return gettext("asked to stop")
            return bar(job.fraction, job.progress_note) if job.fraction is not None else NONE
        if job.error:
            text = job.error if job.shows_payload else job_page.kind_of(job.error)
            return format_html('<span class="pgq-error">{}</span>', cut(text))
        if job.state in ("scheduled", "blocked"):
            return job_page.reason_of(job)
        return NONE


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
