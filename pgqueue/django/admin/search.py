"""What is looked for in the list of jobs: filters, a word, a place to go on from."""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any, Final

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from pgqueue.core.errors import ConfigurationError, PgQueueError
from pgqueue.core.offsets import parse_offset
from pgqueue.core.states import JobState
from pgqueue.db.statements import browsing
from pgqueue.db.statements.browsing import Found, Search
from pgqueue.django.admin.base import ask

#: How many jobs a page looks at; fewer where each costs more.
_LOOKS: Final = 100_000
_LOOKS_JOINED: Final = 20_000
_MAX_ID: Final = 2**63 - 1
#: A word that looks like arguments is longer only by mistake.
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Hold what the page is asked for.

    Attributes:
        search: the filters and the word; None finds nothing.
        job_id: the one job that the word names.
        needs_payload: whether the word is about arguments.
        is_broken: whether the word begins as JSON does, and is none.
    """

    search: Search | None
    job_id: int | None = None
    needs_payload: bool = False
    is_broken: bool = False

    @property
    def is_narrow(self) -> bool:
        """Whether anything is asked for."""
        return self.search != Search()

    def find(self, after: str | None, limit: int) -> Found:
        """Find a page of ids."""
        if self.search is None:
            return Found()
        if self.job_id is not None:
            return Found(ids=(self.job_id,))
        try:
            return ask(
                browsing.find(self.search, after=after, limit=limit, looks=_looks(self.search))
            )
        except ConfigurationError:
            # `after` is not ours.
            return Found()


def wish(word: str, filters: dict[str, Any]) -> Wish:
    """Read the word of the search field.

    Args:
        word: an id; JSON that arguments contain, an array or an object; or a part of the name of a
            task.
        filters: for `Search`.
    """
    word = word.strip()
    if not word:
        return Wish(search=Search(**filters))
    if word.isascii() and word.isdigit():
        job_id = int(word[:30])
        return Wish(search=Search() if job_id <= _MAX_ID else None, job_id=job_id)
    if word[0] in "[{" and len(word) <= _MOST:
        try:
            found = json.loads(word)
            text = json.dumps(found)
        except (RecursionError, ValueError):
            return Wish(search=None, is_broken=True)
        # What jsonb does not take.
        if "\\u0000" in text or any(bad in text for bad in ("NaN", "Infinity")):
            return Wish(search=None)
        given: dict[str, Any] = {"args" if isinstance(found, list) else "kwargs": text}
        return Wish(search=Search(**filters, **given), needs_payload=True)
    return Wish(search=Search(**filters, task_part=word.replace("\0", "")[:500]))


def moment(text: str | None) -> dt.datetime | None:
    """Read a time: an offset into the past such as `1h`, or ISO 8601; None where it is neither."""
    if not text:
        return None
    now: dt.datetime = timezone.now()
    try:
        return now - parse_offset(text)
    except (PgQueueError, OverflowError):
        pass
    found: dt.datetime | None
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    if found is None or not 1970 <= found.year < 9999:
        return None
    aware: dt.datetime = timezone.make_aware(found) if timezone.is_naive(found) else found
    return aware


def moment_of(seconds: Any) -> dt.datetime:
    """Give the time that is so many seconds after 1970."""
    return dt.datetime.fromtimestamp(float(seconds), dt.UTC)


def state(text: str | None) -> str | None:
    """Read a state; None where it is none."""
    return text if text in list(JobState) else None


def _looks(search: Search) -> int:
    joined = search.state is not None and (
        search.task or search.task_part or search.queue or search.group_id is not None
    )
    return _LOOKS_JOINED if joined or search.args or search.kwargs else _LOOKS
