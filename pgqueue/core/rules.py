"""Rules as people write them, `"1h"`, `"0 9 * * 1-5"`, `"FREQ=DAILY;COUNT=9"`, read and checked.

What they mean is in `recurrence`.
"""

import datetime as dt
import functools
import re
import zoneinfo
from typing import Final

from cronsim import CronSim, CronSimError
from dateutil import rrule

from pgqueue.core.errors import ConfigurationError, shown, suggest
from pgqueue.core.offsets import parse_offset
from pgqueue.core.recurrence import Calendar, Cron, Interval, Once, RRule, Rule

_SECOND: Final = dt.timedelta(seconds=1)
_MAX_TEXT: Final = 1000
_NAMED: Final = {
    "minutely": "1m",
    "hourly": "1h",
    "daily": "1 day",
    "weekly": "1 week",
    "biweekly": "2 weeks",
    "monthly": "1 month",
    "bimonthly": "2 months",
    "quarterly": "3 months",
    "yearly": "1 year",
}
_CALENDAR: Final = re.compile(r"([0-9]{1,5})\s*(d|days?|w|weeks?|mo|months?|y|years?)")
_SPELLED: Final = re.compile(
    r"([0-9]{1,9})\s*(?:(s)(?:ec(?:ond)?s?)?|(m)(?:in(?:ute)?s?)?|(h)(?:(?:ou)?rs?)?)"
)
_DAYS: Final = {"d": 1, "w": 7}
_MONTHS: Final = {"m": 1, "y": 12}
_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")


@functools.lru_cache(maxsize=512)
def parse_zone(name: str) -> zoneinfo.ZoneInfo:
    """Find a time zone by its IANA name.

    Raises:
        ConfigurationError: there is none of this name here.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        known = zoneinfo.available_timezones()
        remedy = suggest(name, known) if known else "; install the package tzdata"
    raise ConfigurationError(
        f"timezone must be a name such as 'Europe/Berlin' or 'UTC'; got {shown(name)}{remedy}"
    )


def parse_every(text: str, start: dt.datetime, zone: zoneinfo.ZoneInfo) -> Interval | Calendar:
    """Read an interval: `"90s"`, `"5m"`, `"90 minutes"`, `"1 day"`, `"3 months"`, `"daily"`.

    Seconds, minutes and hours are spans of time; days and longer keep the time of day.

    Raises:
        ConfigurationError: it is none, or shorter than a second.
    """
    plain = _NAMED.get(text.strip().lower(), text.strip().lower())
    match = _CALENDAR.fullmatch(plain)
    if match is not None and int(match[1]):
        number, unit = int(match[1]), match[2][0]
        if unit in _DAYS:
            return Calendar(start=start, zone=zone, days=number * _DAYS[unit])
        return Calendar(start=start, zone=zone, months=number * _MONTHS[unit])
    if (spelled := _SPELLED.fullmatch(plain)) is not None:
        plain = f"{spelled[1]}{spelled[2] or spelled[3] or spelled[4]}"
    try:
        step = parse_offset(plain, "every")
    except ConfigurationError:
        step = dt.timedelta(0)
    if step < _SECOND:
        raise ConfigurationError(
            "every must be an interval of a second or more, such as '90s', '5m', '12h', '1 day', "
            f"'2 weeks', '3 months' or {', '.join(map(repr, _NAMED))}; "
            f"got {shown(text)}{suggest(plain, _NAMED)}"
        )
    return Interval(start=start, step=step)


def parse_cron(text: str, zone: zoneinfo.ZoneInfo) -> Cron:
    """Read a cron expression: five fields, or `@daily` and the like.

    Raises:
        ConfigurationError: it is none, or never fits.
    """
    stripped = " ".join(text.split())
    if stripped.startswith("@"):
        found = _MACROS.get(stripped.lower())
        if found is None:
            raise ConfigurationError(
                f"cron must be five fields or one of {', '.join(_MACROS)}; "
                f"got {shown(text)}{suggest(stripped.lower(), _MACROS)}"
            )
        stripped = found
    why = "" if len(stripped.split()) == 5 and len(stripped) <= _MAX_TEXT else "it has not five"
    if not why:
        try:
            next(CronSim(stripped, dt.datetime(2000, 1, 1)))
        except StopIteration:
            why = "it never fits"
        except (CronSimError, ValueError) as error:
            why = str(error).lower()
    if why:
        raise ConfigurationError(
            "cron must be five fields, minute hour day month weekday, such as '0 9 * * 1-5'; "
            f"got {shown(text)} ({why})"
        )
    return Cron(expression=stripped, zone=zone)


def parse_rrule(text: str, start: dt.datetime, zone: zoneinfo.ZoneInfo) -> RRule:
    """Read a rule of RFC 5545: one RRULE, and EXDATE lines if need be.

    `UNTIL` and `EXDATE` are in UTC with a Z at their end; without, `EXDATE;TZID=Europe/Berlin:…` is
    in that zone, and all else in the zone of the schedule.

    Raises:
        ConfigurationError: it cannot be read.
    """
    excluded: list[dt.datetime] = []
    rules: list[str] = []
    wrong = "it must have one RRULE"
    try:
        if len(text) > _MAX_TEXT:
            raise ValueError("it is longer than 1,000 characters")
        for line in filter(None, map(str.strip, text.splitlines())):
            head, _, value = line.rpartition(":")
            name, *parameters = head.split(";")
            match name.upper(), parameters:
                case "" | "RRULE", []:
                    rules.append(value.upper())
                case "EXDATE", _:
                    own = _zone_of(parameters, zone)
                    excluded += [_wall_time(one, zone, own) for one in value.upper().split(",")]
                case _:
                    raise ValueError(f"a line {head} is not known here; DTSTART is starts_at")
        if len(rules) == 1:
            return RRule(
                rule=_read_rrule(rules[0], start.astimezone(zone), zone),
                zone=zone,
                excluded=frozenset(excluded),
            )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        wrong = str(error)[:100] or "it cannot be read"
    raise ConfigurationError(
        "rrule must be a rule of RFC 5545 such as 'FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17'; "
        f"got {shown(text)} ({wrong})"
    )


def completed(text: str) -> str:
    """Add to a rule of RFC 5545 that names hours the minutes and seconds that it does not name.

    They are those of the first slot, which is the moment of a program's start where nobody names
    another; whoever writes BYHOUR=17 means the full hour.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines):
        rule = line.strip().rstrip(";")
        parts = rule.upper().rpartition(":")[2].split(";")
        names = {part.partition("=")[0] for part in parts}
        if "FREQ" not in names or {"FREQ=MINUTELY", "FREQ=SECONDLY"} & set(parts):
            continue
        if "BYHOUR" in names and "BYMINUTE" not in names:
            rule += ";BYMINUTE=0"
        if {"BYHOUR", "BYMINUTE"} & names and "BYSECOND" not in names:
            rule += ";BYSECOND=0"
        lines[number] = rule
    return "\n".join(lines)


def _read_rrule(text: str, start: dt.datetime, zone: zoneinfo.ZoneInfo) -> rrule.rrule:
    parts = dict(part.split("=", 1) for part in text.strip(";").split(";"))
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ValueError(f"FREQ must be one of {', '.join(_FREQUENCIES)}")
    if int(parts.get("INTERVAL", "1")) < 1:
        raise ValueError("INTERVAL must be 1 or more")
    if int(parts.get("COUNT", "1")) < 1:
        raise ValueError("COUNT must be 1 or more")
    until = parts.pop("UNTIL", None)
    begin = start.replace(tzinfo=None, fold=0, microsecond=0)
    found = rrule.rrulestr(";".join(map("=".join, parts.items())), dtstart=begin)
    if not isinstance(found, rrule.rrule):
        raise ValueError("it must have one RRULE")
    return found if until is None else found.replace(until=_wall_time(until, zone))


def _zone_of(parameters: list[str], zone: zoneinfo.ZoneInfo) -> zoneinfo.ZoneInfo:
    """Read the parameters of a line, of which only a zone of its own is known."""
    for one in parameters:
        name, _, value = one.partition("=")
        if name.upper() != "TZID":
            raise ValueError(f"of the parameters of EXDATE only TZID is known; got {one}")
        zone = parse_zone(value.strip('"'))
    return zone


def _wall_time(
    text: str, zone: zoneinfo.ZoneInfo, own: zoneinfo.ZoneInfo | None = None
) -> dt.datetime:
    """Read a time of RFC 5545 as a wall-clock time of a zone.

    Args:
        own: whose time it is where no Z says that it is UTC; None for the same zone.
    """
    if len(text) == 8:
        return dt.datetime.strptime(text, "%Y%m%d")
    if text.endswith("Z"):
        text, own = text[:-1], zoneinfo.ZoneInfo("UTC")
    wall = dt.datetime.strptime(text, "%Y%m%dT%H%M%S")
    if own is None or own is zone:
        return wall
    return wall.replace(tzinfo=own).astimezone(zone).replace(tzinfo=None, fold=0)


@functools.lru_cache(maxsize=4096)
def read_rule(kind: str, text: str, timezone: str, starts_at: dt.datetime) -> Rule:
    """Read the rule of a schedule as its row has it.

    Args:
        kind: once, every, cron or rrule.
        text: the rule; empty for once.
        timezone: whose clocks.
        starts_at: the first slot of once and every.

    Raises:
        ConfigurationError: the rule cannot be read, or the zone is not known here.
    """
    zone = parse_zone(timezone)
    match kind:
        case "once":
            return Once(at=starts_at)
        case "every":
            return parse_every(text, starts_at, zone)
        case "cron":
            return parse_cron(text, zone)
        case "rrule":
            return parse_rrule(text, starts_at, zone)
    raise ConfigurationError(f"kind must be once, every, cron or rrule; got {shown(kind)}")
