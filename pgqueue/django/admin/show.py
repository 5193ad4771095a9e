"""How values look: times, durations, states, progress. Everything is escaped."""

import datetime as dt
from itertools import pairwise
from typing import Any, Final

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from pgqueue.django.models.jobs import State

#: What is shown where there is nothing.
NONE: Final = "\u2013"
_MINUTE: Final = 60
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", _MINUTE), ("s", 1))
#: Longer texts in lists are cut.
LINE = 160


def moment(value: dt.datetime | None, *, in_full: bool = False) -> Any:
    """Show a time for a list: no more than tells it from now, the whole when pointed at.

    Args:
        in_full: with its date and time zone.
    """
    if value is None:
        return NONE
    if value.year >= 9999:
        return format_html('<span title="{}">{}</span>', _("until somebody retries it"), _("never"))
    if value.year <= 1:
        return _("always")
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    today = timezone.localtime().date() if timezone.is_aware(value) else dt.date.today()
    clock, day = local.strftime("%H:%M:%S"), local.date()
    if in_full:
        text = f"{formats.date_format(local, _('j M Y'))} {clock} {local:%Z}".strip()
    elif day == today:
        text = clock
    else:
        known = _("j M") if day.year == today.year else _("j M Y")
        text = f"{formats.date_format(local, known)} {clock}"
    whole = f"{formats.date_format(local, 'DATE_FORMAT')} {local:%H:%M:%S.%f %Z}"
    return format_html(
        '<time class="pgq-time" datetime="{}" title="{}">{}</time>', value.isoformat(), whole, text
    )


def whole(value: dt.datetime | None) -> Any:
    """Show a time where there is room: its date, its clock and its time zone."""
    return moment(value, in_full=True)


def zone() -> str:
    """Name the time zone that times are shown in."""
    return str(timezone.get_current_timezone_name())


def span(value: dt.timedelta | float | None) -> str:
    """Write a duration shortly: two units at most."""
    if value is None:
        return NONE
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else float(value)
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds < 0.001:
        return "0 ms"
    if seconds < 1:
        return f"{sign}{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{sign}{seconds:.1f} s"
    whole = round(seconds)
    for (unit, length), (smaller, part) in pairwise(_UNITS):
        if whole >= length:
            return f"{sign}{whole // length} {unit} {whole % length // part} {smaller}"
    return f"{sign}{whole} s"


def badge(state: Any) -> Any:
    """Show a state as a coloured word."""
    known = str(state) if str(state) in State.values else "blocked"
    return format_html('<span class="pgq-state pgq-{}">{}</span>', known, State(known).label)


def bar(fraction: Any, text: Any = None) -> Any:
    """Show how far something is."""
    share = min(1.0, max(0.0, float(fraction or 0)))
    return format_html(
        '<span class="pgq-bar"><progress max="100" value="{0}">{0} %</progress> {0} %'
        ' <span class="quiet">{1}</span></span>',
        f"{share * 100:.0f}",
        cut(text or ""),
    )


def cut(text: Any, most: int = LINE) -> str:
    """Give the first line of a text, shortened."""
    line = str(text).partition("\n")[0]
    return line if len(line) <= most else f"{line[: most - 1]}…"


def number(value: int, most: int | None = None) -> str:
    """Write a count, which may end at `most`."""
    ends = most is not None and value > most
    text = str(formats.number_format(most if ends else value, force_grouping=True))
    return f"{text}+" if ends else text
