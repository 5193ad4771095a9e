"""Words that several kinds of rules are said with."""

import datetime as dt
from typing import Final

from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

_EACH: Final = {
    "YEARLY": ngettext_lazy("every year", "every %(count)d years", "count"),
    "MONTHLY": ngettext_lazy("every month", "every %(count)d months", "count"),
    "WEEKLY": ngettext_lazy("every week", "every %(count)d weeks", "count"),
    "DAILY": ngettext_lazy("every day", "every %(count)d days", "count"),
    "HOURLY": ngettext_lazy("every hour", "every %(count)d hours", "count"),
    "MINUTELY": ngettext_lazy("every minute", "every %(count)d minutes", "count"),
    "SECONDLY": ngettext_lazy("every second", "every %(count)d seconds", "count"),
}
_WHICH: Final = {
    1: gettext_lazy("the first %(what)s"),
    2: gettext_lazy("the second %(what)s"),
    3: gettext_lazy("the third %(what)s"),
    4: gettext_lazy("the fourth %(what)s"),
    5: gettext_lazy("the fifth %(what)s"),
    -1: gettext_lazy("the last %(what)s"),
    -2: gettext_lazy("the last but one %(what)s"),
}


def each(frequency: str, count: int = 1) -> str:
    """Say how often, by a word of RFC 5545.

    Raises:
        KeyError: there is no such word.
    """
    return str(_EACH[frequency] % {"count": count})


def which(number: int, what: str) -> str:
    """Say which of several, from the first or from the last.

    Raises:
        KeyError: there is no word for it.
    """
    return str(_WHICH[number] % {"what": what})


def clock(time: dt.time) -> str:
    """Write a time of day; the seconds only where there are some."""
    return f"{time:%H:%M:%S}" if time.second else f"{time:%H:%M}"


def listed(words: list[str], last: str | None = None) -> str:
    """Write a list as people say it."""
    return str(get_text_list(words, last or _("and")))
