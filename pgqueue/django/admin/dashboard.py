"""Charts of what goes on, live; the same as a table where no script runs."""

import threading
import time
from typing import Any, ClassVar, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from pgqueue.db.statements import charting
from pgqueue.django import conf
from pgqueue.django.admin import search
from pgqueue.django.admin.base import QueuePage, ask
from pgqueue.django.admin.show import span

#: How far back charts go: its name in addresses, seconds, words.
SPANS: Final = (
    ("5m", 300, _("5 minutes")),
    ("1h", 3600, _("1 hour")),
    ("24h", 86_400, _("24 hours")),
    ("7d", 604_800, _("7 days")),
)
#: However many look, the database is asked once in so many seconds.
_FRESH: Final = 1.0
_ROWS: Final = 12

_lock = threading.Lock()
_held: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}


class DashboardAdmin(QueuePage):
    """One page, and the figures that its charts ask for."""

    class Media:
        css: ClassVar = {"all": ("pgqueue/uplot/uPlot.min.css",)}
        js = ("pgqueue/uplot/uPlot.iife.min.js", "pgqueue/dashboard.js")

    def get_urls(self) -> list[Any]:
        """Add the address of the figures."""
        own = path(
            "data/", self.admin_site.admin_view(self.data_view), name="pgqueue_dashboard_data"
        )
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the page, with the figures of now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        chosen = chosen_span(request)
        figures = read(chosen)
        queues = [{**one, "waits_text": span(one["waits"])} for one in figures["queues"]]
        return self.page(
            request,
            "dashboard",
            gettext("Dashboard"),
            figures=figures,
            spans=[(name, label, name == chosen) for name, _seconds, label in SPANS],
            chosen=chosen,
            queues=queues,
            words=_words(),
            rows=_rows(figures["bins"]),
            tiles=_tiles(figures),
            **(extra_context or {}),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Go to the page: a queue has one of its own."""
        return HttpResponseRedirect(self.address)

    def data_view(self, request: HttpRequest) -> HttpResponse:
        """Give the figures."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        response = JsonResponse(read(chosen_span(request)))
        response["Cache-Control"] = "no-store"
        return response


def chosen_span(request: HttpRequest) -> str:
    """Give the name of the span that is asked for."""
    chosen = request.GET.get("span", "5m")
    return chosen if chosen in {name for name, _seconds, _label in SPANS} else "5m"


def read(chosen: str) -> dict[str, Any]:
    """Read the figures of a span, or give those of just now."""
    key = (conf.database(), chosen)
    # One asks, others wait for its answer instead of asking as well.
    with _lock:
        at, figures = _held.get(key, (0.0, {}))
        if not figures or time.monotonic() - at > _FRESH:
            seconds = next(seconds for name, seconds, _label in SPANS if name == chosen)
            figures = ask(charting.charts(seconds))
            _held[key] = (time.monotonic(), figures)
    return dict(figures)


def forget() -> None:
    """Read anew next time; for tests."""
    with _lock:
        _held.clear()


def _tiles(figures: dict[str, Any]) -> dict[str, str]:
    """Give the numbers at the top, of the newest bins that are over; the script does the same."""
    lately = figures["bins"][-7:-1]
    succeeded, failed = (
        sum(float(one[state]) for one in lately) / len(lately) for state in ("succeeded", "failed")
    )
    waits = [
        one["waits"] for one in figures["queues"] if not one["paused"] and one["waits"] is not None
    ]
    return {
        "ready": str(sum(one["ready"] for one in figures["queues"])),
        "rate": f"{succeeded + failed:.2f}",
        "failures": f"{failed * 60:.1f}",
        "waits": span(max(waits, default=None)),
    }


def _words() -> dict[str, str]:
    """Give the words that the script writes."""
    return {
        "succeeded": gettext("succeeded"),
        "failed": gettext("failed"),
        "cancelled": gettext("cancelled"),
        "expired": gettext("expired"),
        "ready": gettext("ready"),
        "others": gettext("all others"),
        "paused": gettext("paused"),
        "lost": gettext("lost"),
        "median": gettext("median"),
        "slots": gettext("slots"),
        "in_use": gettext("in use"),
        "workers": gettext("workers"),
        "time": gettext("time"),
        "live": gettext("as of"),
        "stale": gettext("no answer; trying again"),
    }


def _rows(bins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the newest bins for a table."""
    return [
        {
            "at": search.moment_of(one["at"]),
            "succeeded": one["succeeded"],
            "failed": one["failed"],
            "other": one["cancelled"] + one["expired"],
            "wait": span(one["wait_p50"]),
            "wait_95": span(one["wait_p95"]),
            "run": span(one["run_p50"]),
            "run_95": span(one["run_p95"]),
        }
        for one in reversed(bins[-_ROWS:])
    ]
