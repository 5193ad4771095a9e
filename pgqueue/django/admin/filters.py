"""The filters beside the list of jobs. They only hold what was chosen; the list looks."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.contrib.admin import ListFilter
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from pgqueue.db.statements import browsing
from pgqueue.db.statements.browsing import Names
from pgqueue.django.admin import search
from pgqueue.django.admin.base import ask
from pgqueue.django.admin.discovery import known_tasks
from pgqueue.django.admin.show import number
from pgqueue.django.models.jobs import State

_SPANS: Final = (
    ("15m", _("Last 15 minutes")),
    ("1h", _("Last hour")),
    ("24h", _("Last 24 hours")),
    ("7d", _("Last 7 days")),
)


class JobFilter(ListFilter):
    """A filter of one or two parameters; it changes no query."""

    parameters: tuple[str, ...] = ()

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.counts, self.names = facts(request)
        for name in self.parameters:
            if name in params:
                # The driver would refuse a NUL, and no name has one.
                self.used_parameters[name] = params.pop(name)[-1].replace("\0", "")

    def has_output(self) -> bool:
        """Show it."""
        return True

    def expected_parameters(self) -> list[str]:
        """Give the names of the parameters."""
        return list(self.parameters)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Leave the rows alone."""
        return queryset

    def used(self, name: str) -> str | None:
        """Give what was chosen, if anything."""
        return self.used_parameters.get(name) or None

    def search(self) -> dict[str, Any]:
        """Give what was chosen for `Search`."""
        return {name: self.used(name) for name in self.parameters}

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Give what the template needs to show the filter."""
        raise NotImplementedError

    def _form(self, changelist: Any, **more: Any) -> dict[str, Any]:
        """Give what a form of our own needs: the other parameters, and the way back to all."""
        kept = [
            (name, value)
            for name, value in changelist.params.items()
            if name not in self.parameters
        ]
        clear = changelist.get_query_string(remove=list(self.parameters))
        return {"kept": kept, "clear": clear, **more}


class StateFilter(JobFilter):
    """Where jobs stand, with how many there are."""

    title = _("state")
    parameters = ("state",)

    def search(self) -> dict[str, Any]:
        """Give the state."""
        return {"state": search.state(self.used("state"))}

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Give the states."""
        chosen = search.state(self.used("state"))
        counts = self.counts
        yield {
            "selected": chosen is None,
            "query_string": changelist.get_query_string(remove=["state"]),
            "display": _("All"),
        }
        for value, label in State.choices:
            count = counts.get(value)
            text = label if count is None else f"{label} ({number(count, browsing.MOST)})"
            yield {
                "selected": chosen == value,
                "query_string": changelist.get_query_string({"state": value}),
                "display": text,
            }


class NameFilter(JobFilter):
    """A name that is typed or chosen: there may be thousands."""

    template = "admin/pgqueue/filter_name.html"

    def known(self) -> Iterable[str | tuple[str, str]]:
        """Give what is offered: names, or values with what is said of them."""
        raise NotImplementedError

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Give the field and the names."""
        name = self.parameters[0]
        known = [(one, "") if isinstance(one, str) else one for one in self.known()]
        yield self._form(changelist, name=name, value=self.used(name) or "", known=known)


class QueueFilter(NameFilter):
    """The queue."""

    title = _("queue")
    parameters = ("queue",)

    def known(self) -> list[str]:
        """Give the queues of the newest jobs, and those with settings."""
        return sorted(self.names.queues)[:1000]


class TaskFilter(NameFilter):
    """The task."""

    title = _("task")
    parameters = ("task",)

    def known(self) -> list[str]:
        """Give the tasks of the newest jobs, and those that this process knows."""
        return sorted({*self.names.tasks, *known_tasks().names()})[:1000]


class GroupFilter(NameFilter):
    """The group, by its id, or the name of a new one."""

    title = _("group")
    parameters = ("group",)

    def known(self) -> Iterable[str | tuple[str, str]]:
        """Give the newest groups."""
        return self.names.groups

    def search(self) -> dict[str, Any]:
        """Give the group's id; of several with one name, that of the newest."""
        text = self.used("group")
        if text is None:
            return {"group_id": None}
        if text.isascii() and text.isdigit() and len(text) < 19:
            return {"group_id": int(text)}
        found = (number for number, name in self.names.groups if name == text)
        # There is no group 0.
        return {"group_id": int(next(found, 0))}


class WorkerFilter(JobFilter):
    """The worker that runs or ran jobs; shown where one was chosen on another page."""

    title = _("worker")
    template = "admin/pgqueue/filter_worker.html"
    parameters = ("worker",)

    def has_output(self) -> bool:
        """Show it only where it is used."""
        return self.used("worker") is not None

    def search(self) -> dict[str, Any]:
        """Give the worker's id."""
        text = self.used("worker") or ""
        known = text.isascii() and text.isdigit() and len(text) < 19
        return {"worker_id": int(text) if known else None}

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Give the way back."""
        yield self._form(changelist, value=self.used("worker"))


class TimeFilter(JobFilter):
    """When: a span that ends now, or from and to."""

    title = _("time")
    template = "admin/pgqueue/filter_time.html"
    parameters = ("since", "until")

    def search(self) -> dict[str, dt.datetime | None]:
        """Give both ends."""
        return {name: search.moment(self.used(name)) for name in self.parameters}

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Give the spans, then the fields."""
        since, until = self.used("since"), self.used("until")
        yield {
            "selected": not since and not until,
            "query_string": changelist.get_query_string(remove=["since", "until"]),
            "display": _("Any time"),
        }
        for value, label in _SPANS:
            yield {
                "selected": since == value and not until,
                "query_string": changelist.get_query_string(
                    {"since": value, "until": None}, remove=["until"]
                ),
                "display": label,
            }
        own = [text for text in (since, until) if text and text not in dict(_SPANS)]
        yield self._form(
            changelist,
            since=since if own and since not in dict(_SPANS) else "",
            until=until or "",
            is_form=True,
        )


def facts(request: HttpRequest) -> tuple[dict[str, int], Names]:
    """Give the counts and names that the filters show: two queries a request."""
    found: tuple[dict[str, int], Names] | None = getattr(request, "_pgqueue_facts", None)
    if found is None:
        found = (ask(browsing.counts()), ask(browsing.names()))
        request._pgqueue_facts = found
    return found
