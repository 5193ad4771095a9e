"""What ties a job to others on its page: its schedule, group, flow, callbacks and keys."""

import json
from collections.abc import Iterable
from typing import Any, Final

from django.apps import apps
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pgqueue.django import conf
from pgqueue.django.admin import search
from pgqueue.django.admin.base import may
from pgqueue.django.admin.show import cut, whole
from pgqueue.django.models import Group, JobDependency

_MOST: Final = 10
_EVENTS: Final = {
    "on_success": gettext_lazy("On success"),
    "on_failure": gettext_lazy("On failure"),
    "on_finish": gettext_lazy("At its end"),
}


def ties_of(job: Any, request: HttpRequest, site: Any) -> list[tuple[Any, Any]]:
    """List them, label and value: a query for a group, and one for jobs that run after this."""
    facts: list[tuple[Any, Any]] = []
    if job.objects_text and may(request, "view_job_payload"):
        facts.append((_("Given"), _objects(job.objects_text, request, site)))
    if job.schedule:
        facts.append(
            (
                _("Schedule"),
                _schedule(job.schedule, site.name if may(request, "view_schedule") else None),
            )
        )
    if job.planned_at and (planned := search.moment(job.planned_at[:64])):
        facts.append((_("Planned for"), whole(planned)))
    if job.group_id is not None:
        facts.append(
            (_("Group"), _group(job.group_id, site.name if may(request, "view_group") else None))
        )
    if job.after:
        facts.append((_("Runs after"), _jobs(job.after, site.name)))
    if job.has_dependents:
        found = JobDependency.objects.using(conf.database()).filter(parent_id=job.pk)
        ids = list(found.order_by("child_id").values_list("child_id", flat=True)[: _MOST + 1])
        facts.append((_("Then run"), _jobs(ids, site.name, counted=False)))
    for event, label in _EVENTS.items():
        if task := _callback(job.callbacks, event):
            facts.append((label, cut(task)))
    for label, key in (
        (_("Unique key"), job.unique_key),
        (_("Concurrency key"), job.concurrency_key),
        (_("Fair key"), job.fair_key),
    ):
        if key is not None:
            facts.append((label, key))
    return facts


def _objects(text: str, request: HttpRequest, site: Any) -> Any:
    """Name the rows that a job was given, with a link to those that have a page in this admin."""
    try:
        found = json.loads(text)
    except (RecursionError, ValueError):
        return cut(text)
    names = [str(one) for one in found] if isinstance(found, list) else [text]
    shown = format_html_join(", ", "{}", ((_object(one, request, site),) for one in names[:_MOST]))
    more = len(names) - _MOST
    if more <= 0:
        return shown
    return format_html("{} {}", shown, _("and %(count)s more") % {"count": more})


def _object(name: str, request: HttpRequest, site: Any) -> Any:
    label, _colon, key = name.partition(":")
    words = cut(f"{label} {key}")
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return words
    page = site._registry.get(model)
    if page is None or not page.has_view_or_change_permission(request):
        return words
    address = f"{site.name}:{model._meta.app_label}_{model._meta.model_name}_change"
    try:
        return _link(reverse(address, args=[quote(key)]), words)
    except NoReverseMatch:
        return words


def _schedule(name: str, site: str | None) -> Any:
    if site is None:
        return cut(name)
    return _link(reverse(f"{site}:pgqueue_schedule_change", args=[quote(name)]), cut(name))


def _group(group_id: int, site: str | None) -> Any:
    name = (
        Group.objects.using(conf.database())
        .filter(pk=group_id)
        .values_list("name", flat=True)
        .first()
    )
    shown = f"{group_id} {cut(name, 80)}" if name else str(group_id)
    if site is None:
        return shown
    return _link(reverse(f"{site}:pgqueue_group_change", args=[group_id]), shown)


def _jobs(ids: Iterable[int], site: str, *, counted: bool = True) -> Any:
    """Name jobs, the first of them.

    Args:
        site: the admin that they are shown in.
        counted: whether `ids` are all there are, or one more than are shown.
    """
    known = list(ids)
    text = format_html_join(", ", "{}", ((_job(one, site),) for one in known[:_MOST]))
    more = len(known) - _MOST
    if more <= 0:
        return text
    return format_html(
        "{} {}", text, _("and %(count)s more") % {"count": more} if counted else _("and others")
    )


def _job(job_id: int, site: str) -> Any:
    return _link(reverse(f"{site}:pgqueue_job_change", args=[job_id]), job_id)


def _callback(callbacks: Any, event: str) -> str:
    """Name the task of a callback; what is written by hand may be anything."""
    found = callbacks.get(event) if isinstance(callbacks, dict) else None
    task = found.get("task") if isinstance(found, dict) else found
    return task if isinstance(task, str) else ""


def _link(address: str, text: Any) -> Any:
    return format_html('<a href="{}">{}</a>', address, text)
