"""The list of jobs: a page found by `pgqueue.find_jobs`, with no count and no number of pages."""

from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import F
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.translation import gettext as _

from pgqueue.db.statements.browsing import Search
from pgqueue.django import conf
from pgqueue.django.admin import acts, search
from pgqueue.django.admin.base import may
from pgqueue.django.admin.filters import JobFilter, facts
from pgqueue.django.admin.show import number
from pgqueue.django.models import Job

#: The parameter that says where the page begins.
AFTER: Final = "after"


class JobList(ChangeList):
    """A page of jobs."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        """Read what is asked for; gives all jobs, from which the page takes its own by their ids.

        Raises:
            IncorrectLookupParameters: a parameter is of no filter.
        """
        for held in (self.params, self.filter_params):
            held.pop(AFTER, None)
        (
            self.filter_specs,
            self.has_filters,
            remaining,
            _duplicates,
            self.has_active_filters,
        ) = self.get_filters(request)
        if remaining:
            raise IncorrectLookupParameters(f"no filter takes {', '.join(sorted(remaining))}")
        self.without_query = self.get_query_string(remove=[SEARCH_VAR])
        self.clear_all_filters_qs = self.get_query_string(remove=list(self.get_filters_params()))
        chosen: dict[str, Any] = {}
        for spec in self.filter_specs:
            if isinstance(spec, JobFilter):
                chosen |= spec.search()
        self.wish = search.wish(self.query, chosen)
        if self.wish.is_broken:
            messages.warning(
                request, _("What begins as JSON is looked for in arguments, and this is no JSON.")
            )
        if self.wish.needs_payload and not may(request, "view_job_payload"):
            messages.warning(request, _("To search in arguments you must be allowed to see them."))
            self.wish = search.Wish(search=None)
        return self.root_queryset.all()

    def get_results(self, request: HttpRequest) -> None:
        """Find the page, and read its rows: two queries."""
        self.after = request.GET.get(AFTER, "").replace("\0", "") or None
        found = self.wish.find(self.after, self.list_per_page)
        rows = list(rows_of(found.ids)) if found.ids else []
        place = {job_id: at for at, job_id in enumerate(found.ids)}
        shows_payload = may(request, "view_job_payload")
        for row in rows:
            row.shows_payload = shows_payload
        self.result_list = sorted(rows, key=lambda row: place[row.pk])
        self.reached = found.reached
        self.next_page = None if found.next is None else self.get_query_string({AFTER: found.next})
        self.first_page = self.get_query_string() if self.after else None
        # Shown only by what says "all of them": so many an act takes at once.
        self.result_count = acts.MOST if self.next_page or self.after else len(rows)
        count = facts(request)[0]["all"]
        self.estimate = number(count) if count and not self.wish.is_narrow else None
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.multi_page = False
        self.paginator = Paginator(self.result_list, self.list_per_page)

    def all_ids(self) -> tuple[int, ...]:
        """Find the ids of all that is asked for, from the top, up to what an act takes."""
        if self.wish.search == Search() and self.wish.job_id is None:
            # Everything: too easily a mistake.
            return ()
        ids: list[int] = []
        after = None
        while len(ids) < acts.MOST:
            found = self.wish.find(after, acts.MOST - len(ids))
            ids += found.ids
            after = found.next
            if after is None:
                break
        return tuple(ids)


def rows_of(ids: Any) -> Any:
    """Give jobs with all that a list shows of them, by one query, without their arguments."""
    return (
        Job.objects.using(conf.database())
        .filter(pk__in=ids)
        .with_state()
        .defer("args", "kwargs", "meta")
        .annotate(
            fraction=F("progress__fraction"),
            progress_note=F("progress__note"),
            stop_asked_at=F("cancel_request__requested_at"),
            current_priority=Coalesce(
                "ready__priority",
                "scheduled__priority",
                "running__priority",
                "blocked__priority",
                "priority",
            ),
        )
    )
