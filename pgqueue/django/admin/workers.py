"""The workers in the admin: who is alive, what they hold."""

from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext

from pgqueue.django.admin.base import QueuePage, may
from pgqueue.django.admin.job_list import rows_of
from pgqueue.django.models import RunningJob, WorkerOverview

#: Workers are few; these are the newest.
_MOST: Final = 500
_MOST_JOBS: Final = 100


class WorkerAdmin(QueuePage):
    """The list of workers, and the page of one."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the workers that are alive, or were until just now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = list(WorkerOverview.objects.order_by("-pk")[:_MOST])
        for row in rows:
            row.slots = row.processes * row.threads
        return self.page(
            request,
            "workers",
            gettext("Workers"),
            rows=rows,
            may_view_jobs=may(request, "view_job"),
            **(extra_context or {}),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one worker and the jobs that it holds."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        known = object_id.isascii() and object_id.isdigit() and len(object_id) < 19
        worker = WorkerOverview.objects.filter(pk=int(object_id)).first() if known else None
        if worker is None:
            self.say(
                request,
                gettext("There is no worker “%(id)s” any more.") % {"id": object_id[:50]},
                well=False,
            )
            return HttpResponseRedirect(self.address)
        worker.slots = worker.processes * worker.threads
        jobs = []
        if may(request, "view_job"):
            held = RunningJob.objects.filter(worker_id=worker.pk).values_list("pk", flat=True)
            jobs = list(rows_of(list(held[:_MOST_JOBS])).order_by("started_at"))
        return self.page(
            request,
            "worker",
            gettext("Worker %(name)s") % {"name": worker.name},
            above=self.address,
            worker=worker,
            original=worker,
            jobs=jobs,
            **(extra_context or {}),
        )
