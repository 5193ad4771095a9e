"""What went wrong lately, by task and kind: where to look first."""

from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from pgqueue.db.statements import browsing
from pgqueue.django.admin import search
from pgqueue.django.admin.base import QueuePage, ask, may

_SPANS: Final = (
    ("1h", _("Last hour")),
    ("24h", _("Last 24 hours")),
    ("7d", _("Last 7 days")),
    ("", _("Any time")),
)


class ErrorAdmin(QueuePage):
    """The failures, in groups."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the newest failures by task and kind."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        chosen = request.GET.get("since", "24h")
        if chosen not in dict(_SPANS):
            chosen = ""
        groups = ask(browsing.failures(search.moment(chosen)))
        jobs = reverse(f"{self.admin_site.name}:pgqueue_job_changelist")
        for group in groups:
            words = {"state": "failed", "task": group["task"] or "", "since": chosen}
            group["address"] = f"{jobs}?{urlencode({k: v for k, v in words.items() if v})}"
            group["last_at"] = search.moment(str(group["last_at"]))
        return self.page(
            request,
            "errors",
            gettext("Errors"),
            groups=groups,
            spans=[(value, label, value == chosen) for value, label in _SPANS],
            most=browsing.MOST,
            shows_payload=may(request, "view_job_payload"),
            may_view_jobs=may(request, "view_job"),
            **(extra_context or {}),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Go to the list: errors are shown with their jobs."""
        return HttpResponseRedirect(self.address)
