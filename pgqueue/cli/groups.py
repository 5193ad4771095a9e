"""`groups`: look at groups and flows, cancel, retry and delete them."""

import dataclasses
import datetime as dt
from argparse import Namespace

from pgqueue.cli.database import open_app
from pgqueue.cli.exits import Exit
from pgqueue.cli.output import cell, print_json, print_table, say, visible
from pgqueue.cli.parser import Parser, whole
from pgqueue.core.group import Progress

_HEADINGS = (
    "id",
    "name",
    "state",
    "total",
    "waiting",
    "running",
    "succeeded",
    "failed",
    "cancelled",
    "skipped",
    "remaining",
    "created at",
)
_KEYS = (
    "id, name, state (open, closed, then succeeded, failed or cancelled), total, waiting, running, "
    "succeeded, failed, cancelled, skipped, remaining (seconds, null when nobody can tell), "
    "created_at and ended_at"
)


def add(top: Parser) -> None:
    """Add the commands."""
    noun = top.command("groups", "look at groups and flows, cancel, retry and delete them")
    parser = noun.command(
        "list",
        "list groups, the newest first",
        _list,
        details=f"With --json: an array of objects with {_KEYS}.",
    )
    parser.add_argument(
        "--limit", type=whole, default=50, metavar="N", help="the most to show (default: 50)"
    )
    parser = noun.command(
        "show",
        "show how far a group is",
        _show,
        details=f"With --json: {_KEYS}.",
    )
    _add_id(parser)
    parser = noun.command(
        "cancel",
        "cancel all jobs of a group that are not over, and of the groups in it, and close them",
        _cancel,
        details="Those that run are asked to stop. With --json: id and cancelled, how many.",
    )
    _add_id(parser)
    parser.add_argument("--reason", metavar="TEXT", help="a sentence, shown with the jobs")
    parser = noun.command(
        "retry",
        "run the jobs of a group again that did not succeed, and what did not run for them",
        _retry,
        details="With --json: id and retried, how many.",
    )
    _add_id(parser)
    parser = noun.command(
        "delete",
        "delete a group with its jobs, and the groups in it; none may run",
        _delete,
        details="With --json: id and deleted, how many jobs.",
    )
    _add_id(parser)


def _add_id(parser: Parser) -> None:
    parser.add_argument("id", type=whole, metavar="ID", help="the group's id")


def _list(words: Namespace) -> int:
    with open_app(words) as app:
        found = app.groups(limit=words.limit)
    if words.json:
        print_json([dataclasses.asdict(one) for one in found])
    else:
        print_table(_HEADINGS, [_row(one) for one in found])
    return Exit.OK


def _show(words: Namespace) -> int:
    with open_app(words) as app:
        found = app.get_group(words.id).progress()
    if words.json:
        print_json(dataclasses.asdict(found))
        return Exit.OK
    for name, value in zip(_HEADINGS, _row(found), strict=True):
        print(f"{name}: {visible(cell(value))}")
    return Exit.OK


def _cancel(words: Namespace) -> int:
    with open_app(words) as app:
        group = app.get_group(words.id)
        group.progress()
        count = group.cancel(words.reason)
    say(words, f"{count} jobs of group {words.id} cancelled", {"id": words.id, "cancelled": count})
    return Exit.OK


def _retry(words: Namespace) -> int:
    with open_app(words) as app:
        count = app.get_group(words.id).retry()
    say(words, f"{count} jobs of group {words.id} run again", {"id": words.id, "retried": count})
    return Exit.OK


def _delete(words: Namespace) -> int:
    with open_app(words) as app:
        group = app.get_group(words.id)
        group.progress()
        count = group.delete()
    said = f"group {words.id} deleted with {count} jobs"
    say(words, said, {"id": words.id, "deleted": count})
    return Exit.OK


def _row(group: Progress) -> list[object]:
    rest = None if group.remaining is None else dt.timedelta(seconds=round(group.remaining))
    return [
        group.id, group.name, group.state, group.total, group.waiting, group.running,
        group.succeeded, group.failed, group.cancelled, group.skipped, rest, group.created_at,
    ]  # fmt: skip
