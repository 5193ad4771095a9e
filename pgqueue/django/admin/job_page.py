"""The page of one job: what it is, where it stands, what went wrong, what can be done."""

import datetime as dt
from typing import Any, Final

from django.contrib import messages
from django.db.models import TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pgqueue.core.tagged import OBJECTS
from pgqueue.django import conf
from pgqueue.django.admin import payload
from pgqueue.django.admin.acts import ACTS
from pgqueue.django.admin.base import may
from pgqueue.django.admin.job_list import rows_of
from pgqueue.django.admin.show import badge, bar, span, whole
from pgqueue.django.admin.ties import ties_of
from pgqueue.django.models import FinishedJob, JobError, JobLog, Worker

_MOST_ERRORS: Final = 50
_MOST_LINES: Final = 200
_REASONS: Final = {
    "delayed": gettext_lazy("not due yet"),
    "retry": gettext_lazy("waits for its next attempt"),
    "snoozed": gettext_lazy("snoozed"),
    "crashed": gettext_lazy("its process died; waits for its next attempt"),
    "unknown_task": gettext_lazy("no worker knows its task"),
    "after": gettext_lazy("runs after other jobs"),
    "concurrency": gettext_lazy("waits in the line of its key"),
    "group": gettext_lazy("waits for all others of its group"),
    "fair": gettext_lazy("waits for the turn of its key"),
    "unique_key": gettext_lazy("it is not decided yet whether it is a duplicate"),
}


def respond(page: Any, request: HttpRequest, object_id: str, extra: Any) -> HttpResponse:
    """Show the job; without one, go to the list and say so.

    Args:
        page: the admin of jobs.
        object_id: as it stands in the address.
        extra: more for the template.
    """
    job = _read(object_id)
    if job is None:
        text = _("There is no job “%(id)s”. It may have been pruned.") % {"id": object_id[:50]}
        page.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(page.address)
    shows_payload = may(request, "view_job_payload")
    site = page.admin_site.name
    response: HttpResponse = page.page(
        request,
        "job",
        _("Job %(id)s") % {"id": job.pk},
        above=page.address,
        tools=[
            (reverse(f"{site}:pgqueue_job_history", args=[job.pk]), "historylink", _("History"))
        ],
        job=job,
        original=job,
        state=badge(job.state),
        # What it said last is not where it ended.
        progress=bar(job.fraction, job.progress_note)
        if job.fraction is not None and job.state != "succeeded"
        else None,
        facts=[*_facts(job, _worker(job), request, site), *ties_of(job, request, page.admin_site)],
        lines=_lines(job) if shows_payload else (),
        shows_payload=shows_payload,
        payload=_payload(job) if shows_payload else (),
        error=job.error if shows_payload or not job.error else kind_of(job.error),
        attempts=list(
            JobError.objects.filter(job_id=job.pk).order_by("-at", "-attempt")[:_MOST_ERRORS]
        ),
        acts=[act for act in ACTS if job.state in act.states and may(request, act.permission)],
        **(extra or {}),
    )
    return response


def attempts_of(job: Any) -> str:
    """Write how many attempts were begun, and how many may be."""
    begun = job.attempt or 0
    spent = begun - (job.lost or 0)
    most = f"/{job.max_attempts}" if job.max_attempts else ""
    lost = f" +{job.lost}" if job.lost else ""
    return f"{spent}{most}{lost}"


def reason_of(job: Any) -> str:
    """Say why a job waits."""
    return str(_REASONS.get(job.reason, job.reason or ""))


def kind_of(error: str) -> str:
    """Give the kind of an error, without its message, which may tell something of the arguments."""
    return error.partition(":")[0][:200]


def _read(object_id: str) -> Any:
    if not (object_id.isascii() and object_id.isdigit() and len(object_id) < 19):
        return None
    # As text: what no parser reads is still to be looked at.
    texts = {f"{name}_text": Cast(name, TextField()) for name in ("args", "kwargs", "meta")}
    planned = {name: KT(f"meta__pgqueue__{name}") for name in ("schedule", "planned_at")}
    given = {"objects_text": KT(f"meta__{OBJECTS}")}
    return rows_of([int(object_id)]).annotate(**texts, **planned, **given).first()


def _worker(job: Any) -> Any:
    if job.worker_id is None:
        return None
    return Worker.objects.filter(pk=job.worker_id).first() or job.worker_id


def _payload(job: Any) -> list[tuple[str, str]]:
    result = (
        FinishedJob.objects.using(conf.database())
        .filter(pk=job.pk, result__isnull=False)
        .values_list(Cast("result", TextField()), flat=True)
        .first()
        if job.state == "succeeded"
        else None
    )
    found = [
        (_("Arguments"), payload.pretty(job.args_text, payload.parameters(job.task))),
        (_("Keyword arguments"), payload.pretty(job.kwargs_text)),
        # The names of the rows stand among the facts.
        (_("Meta"), payload.pretty(job.meta_text, without=(OBJECTS,))),
        (_("Result"), payload.pretty(result)),
    ]
    return [
        (title, text)
        for title, text in found
        if text not in ("", "[]", "{}") or title == _("Arguments")
    ]


def _facts(job: Any, worker: Any, request: HttpRequest, site: str) -> list[tuple[str, Any]]:
    """List what is known, label and value; what is not known is left out."""
    started, ended = job.started_at, job.finished_at
    due = job.due_at if job.state == "scheduled" else job.run_at
    if due is not None and started is not None and due > started:
        # Somebody let it run before its time.
        due = None
    waited = started - max(job.created_at, job.run_at or job.created_at) if started else None
    facts: list[tuple[str, Any]] = [
        (_("Task"), _to_list(job, "task", site)),
        (_("Queue"), _to_list(job, "queue", site)),
        (_("Priority"), str(job.current_priority)),
        (_("Attempts"), _attempts(job)),
        (_("Enqueued"), whole(job.created_at)),
    ]
    if due is not None:
        facts.append((_("Due"), whole(due)))
    if job.expires_at is not None:
        facts.append((_("Expires"), whole(job.expires_at)))
    if job.timeout is not None:
        facts.append((_("Timeout"), span(job.timeout)))
    if started is not None:
        facts.append((_("Started"), whole(started)))
        if job.attempt == 1 and waited is not None and waited >= dt.timedelta(0):
            facts.append((_("Waited"), span(waited)))
    if ended is not None:
        facts.append((_("Ended"), whole(ended)))
        if started is not None:
            facts.append((_("Took"), span(ended - started)))
    if worker is not None:
        facts.append((_("Worker"), _to_worker(worker, request, site)))
    if job.state in ("scheduled", "blocked"):
        facts.append((_("Waits because"), reason_of(job)))
    if job.stop_asked_at is not None and job.state == "running":
        facts.append((_("Asked to stop"), whole(job.stop_asked_at)))
    return facts


def _lines(job: Any) -> list[Any]:
    """Read the last lines of the log, in their order."""
    return list(JobLog.objects.filter(job_id=job.pk).order_by("-attempt", "-n")[:_MOST_LINES])[::-1]


def _attempts(job: Any) -> str:
    text: str = _("%(begun)s begun") % {"begun": job.attempt or 0}
    if job.max_attempts:
        text += _(", %(most)s may fail") % {"most": job.max_attempts}
    if job.lost:
        text += _(", %(lost)s lost through no fault of the job") % {"lost": job.lost}
    if job.crashes:
        text += _(", %(crashes)s crashed") % {"crashes": job.crashes}
    return text


def _to_list(job: Any, name: str, site: str) -> Any:
    value = getattr(job, name) or ""
    return format_html(
        '<a href="{}?{}">{}</a>',
        reverse(f"{site}:pgqueue_job_changelist"), urlencode({name: value}), value,
    )  # fmt: skip


def _to_worker(worker: Any, request: HttpRequest, site: str) -> Any:
    if not isinstance(worker, Worker):
        return _("%(id)s, which is gone") % {"id": worker}
    if not may(request, "view_worker"):
        return f"{worker.name} ({worker.pk})"
    address = reverse(f"{site}:pgqueue_worker_change", args=[worker.pk])
    return format_html('<a href="{}">{} ({})</a>', address, worker.name, worker.pk)
