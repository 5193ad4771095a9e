"""The groups in the admin: how far they are, and what can be done with one."""

from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db.models import TextField
from django.db.models.functions import Cast
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

from pgqueue.core.errors import PgQueueError
from pgqueue.db.statements import groups
from pgqueue.django import conf
from pgqueue.django.admin import payload
from pgqueue.django.admin.base import QueuePage, ask, may, note
from pgqueue.django.admin.job_list import rows_of
from pgqueue.django.admin.show import badge, bar, cut, moment, span
from pgqueue.django.models import Group, GroupOverview, Job

_PAGE: Final = 50
_MOST_JOBS: Final = 100
_MOST_CHILDREN: Final = 100
_OPEN: Final = ("open", "closed")
_STATES: Final = {"open": _("more jobs are expected"), "closed": _("under way")}


class GroupAdmin(QueuePage):
    """The list of groups, and the page of one."""

    def get_urls(self) -> list[Any]:
        """Add the address of what is done with a group."""
        own = path(
            "<int:group_id>/act/<slug:name>/",
            self.admin_site.admin_view(self.act_view),
            name="pgqueue_group_act",
        )
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show a page of groups, the newest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = GroupOverview.objects.defer("meta")
        before = request.GET.get("before", "")
        if _is_id(before):
            found = found.filter(pk__lt=int(before))
        rows = [_shown(row) for row in found[: _PAGE + 1]]
        return self.page(
            request,
            "groups",
            gettext("Groups"),
            rows=rows[:_PAGE],
            first=bool(before),
            next=rows[_PAGE - 1].pk if len(rows) > _PAGE else None,
            **(extra_context or {}),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one group and its first jobs."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        group = _read(object_id)
        if group is None:
            text = gettext("There is no group “%(id)s”. It may have been pruned.")
            self.say(request, text % {"id": object_id[:50]}, well=False)
            return HttpResponseRedirect(self.address)
        jobs: list[Any] = []
        if may(request, "view_job"):
            members = Job.objects.using(conf.database()).filter(group_id=group.pk).order_by("pk")
            ids = list(members.values_list("pk", flat=True)[:_MOST_JOBS])
            jobs = sorted(rows_of(ids), key=lambda job: job.pk) if ids else []
            for job in jobs:
                job.badge = badge(job.state)
        return self.page(
            request,
            "group",
            gettext("Group %(name)s") % {"name": group.name or group.pk},
            above=self.address,
            group=_shown(group),
            original=group,
            jobs=jobs,
            most_jobs=_MOST_JOBS,
            may_view_jobs=may(request, "view_job"),
            children=[
                _shown(child)
                for child in GroupOverview.objects.defer("meta").filter(parent_id=group.pk)[
                    :_MOST_CHILDREN
                ]
            ],
            meta=(
                payload.pretty(group.meta_text)
                if group.meta_text and may(request, "view_job_payload")
                else None
            ),
            may_cancel=group.state in _OPEN and may(request, "cancel_group"),
            may_retry=group.failed + group.cancelled > 0 and may(request, "retry_group"),
            **(extra_context or {}),
        )

    def act_view(self, request: HttpRequest, group_id: int, name: str) -> HttpResponse:
        """Cancel or retry a group; POST only."""
        if name not in ("cancel", "retry"):
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request) or not may(request, f"{name}_group"):
            raise PermissionDenied
        try:
            if name == "cancel":
                count = ask(groups.cancel_group(group_id, None))
                text = gettext("cancelled; jobs that were cancelled or asked to stop: %(count)s")
            else:
                count = ask(groups.retry_group(group_id))
                text = gettext("goes on; jobs that run again: %(count)s")
        except PgQueueError as error:
            self.say(request, str(error), well=False)
        else:
            what = text % {"count": count}
            note(request, Group, {group_id: gettext("group %(id)s") % {"id": group_id}}, what)
            words = {"id": group_id, "what": what}
            self.say(request, gettext("Group %(id)s: %(what)s") % words)
        site = self.admin_site.name
        return HttpResponseRedirect(reverse(f"{site}:pgqueue_group_change", args=[group_id]))


def _read(object_id: str) -> Any:
    if not _is_id(object_id):
        return None
    # As text: what no parser reads is still to be looked at.
    found = GroupOverview.objects.defer("meta").annotate(meta_text=Cast("meta", TextField()))
    return found.filter(pk=int(object_id)).first()


def _shown(group: Any) -> Any:
    """Add to a group how it is shown."""
    group.title = cut(group.name or "", 80)
    group.badge = badge(group.state) if group.state not in _OPEN else _STATES[group.state]
    group.bar = bar(group.fraction) if group.fraction is not None else ""
    group.remaining = span(group.remaining_seconds)
    group.made = moment(group.created_at)
    group.ended = moment(group.ended_at)
    return group


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
