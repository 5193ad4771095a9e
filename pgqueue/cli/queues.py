"""`queues`: look at queues, pause and resume them, say how long finished jobs are kept."""

import dataclasses
import datetime as dt
from argparse import Namespace
from typing import Any

from pgqueue.cli.database import open_app
from pgqueue.cli.exits import Exit
from pgqueue.cli.output import cell, print_json, print_table, say
from pgqueue.cli.parser import Parser, duration
from pgqueue.core.errors import ConfigurationError
from pgqueue.core.job import QueueInfo

_HEADINGS = (
    "queue",
    "ready",
    "scheduled",
    "blocked",
    "running",
    "unknown task",
    "paused",
    "waits",
    "keeps succeeded",
    "keeps other",
)


def add(top: Parser) -> None:
    """Add the commands."""
    noun = top.command("queues", "look at queues, pause, resume and configure them")
    noun.command(
        "list",
        "list queues that have jobs waiting or running, or settings",
        _list,
        details="With --json: an array of objects with queue, ready, scheduled, blocked, running, "
        "unknown_task (how many of the scheduled ones wait for a worker that knows their task), "
        "paused, resume_at, first_waits (seconds since the job that is next was enqueued), "
        "retention_succeeded and retention_other in seconds, null for the default; max_running, "
        "rate and max_pending, null for no limit.",
    )
    parser = noun.command(
        "pause",
        "start no job of a queue; what runs goes on",
        _pause,
        details="With --json: queue, paused and resume_in in seconds.",
        examples=("queues pause mail --resume-in 1h",),
    )
    _add_name(parser)
    parser.add_argument(
        "--resume-in", type=duration, metavar="TIME", help="resume by itself after 10m, 1d12h"
    )
    _add_name(
        noun.command(
            "resume",
            "start jobs of a queue again",
            _resume,
            details="With --json: queue, and resumed, which is false if it was not paused.",
        )
    )
    parser = noun.command(
        "configure",
        "limit a queue, or say how long jobs of it that end from now on are kept",
        _configure,
        details="A limit is a number, a rate such as 100/m, or none; those left out stay as they "
        "are. One of the two retentions that is left out goes back to its default where the other "
        "is given. With --json: queue, what was set of max_running, rate and max_pending, and "
        "where a retention was set retention_succeeded and retention_other in seconds, null for "
        "the default.",
        examples=(
            "queues configure mail --max-running 20 --rate 100/m",
            "queues configure mail --max-running none",
            "queues configure mail --retention 3d",
            "queues configure mail --reset",
        ),
    )
    _add_name(parser)
    parser.add_argument("--retention", type=duration, metavar="TIME", help="for all of them")
    parser.add_argument(
        "--retention-succeeded",
        type=duration,
        metavar="TIME",
        help="for succeeded ones; 0 deletes them at once (left out: 7d)",
    )
    parser.add_argument(
        "--retention-other",
        type=duration,
        metavar="TIME",
        help="for failed, cancelled and expired ones (left out: 30d)",
    )
    parser.add_argument("--reset", action="store_true", help="back to the defaults, 7d and 30d")
    parser.add_argument(
        "--max-running", metavar="N", help="jobs that may run at once, of all workers together"
    )
    parser.add_argument("--rate", metavar="N/TIME", help="jobs that may start in a time: 100/m")
    parser.add_argument("--max-pending", metavar="N", help="jobs that may wait, others are refused")


def _add_name(parser: Parser) -> None:
    parser.add_argument("queue", metavar="QUEUE", help="the queue's name")


def _list(words: Namespace) -> int:
    with open_app(words) as app:
        queues = app.queues.list()
    if words.json:
        print_json([_facts(queue) for queue in queues])
    else:
        print_table(_HEADINGS, [_row(queue) for queue in queues])
    return Exit.OK


def _pause(words: Namespace) -> int:
    with open_app(words) as app:
        app.queues.pause(words.queue, words.resume_in)
    until = "" if words.resume_in is None else f" for {cell(words.resume_in)}"
    facts = {"queue": words.queue, "paused": True, "resume_in": _seconds(words.resume_in)}
    say(words, f"queue {words.queue} is paused{until}", facts)
    return Exit.OK


def _resume(words: Namespace) -> int:
    with open_app(words) as app:
        resumed = app.queues.resume(words.queue)
    done = "is resumed" if resumed else "was not paused"
    say(words, f"queue {words.queue} {done}", {"queue": words.queue, "resumed": resumed})
    return Exit.OK


def _configure(words: Namespace) -> int:
    given = {
        name: getattr(words, name)
        for name in ("retention", "retention_succeeded", "retention_other")
        if getattr(words, name) is not None
    }
    limits: dict[str, Any] = {
        name: _limit(getattr(words, name), name)
        for name in ("max_running", "rate", "max_pending")
        if getattr(words, name) is not None
    }
    if bool(given or limits) == words.reset:
        raise ConfigurationError(
            "queues configure needs a limit, --retention, --retention-succeeded or "
            "--retention-other, or --reset alone"
        )
    with open_app(words) as app:
        app.queues.configure(words.queue, **given, **limits)
    both = given.get("retention")
    facts = {
        name: _seconds(given.get(name, both))
        for name in ("retention_succeeded", "retention_other")
        if given or words.reset
    }
    say(words, f"queue {words.queue} is configured", {"queue": words.queue, **limits, **facts})
    return Exit.OK


def _limit(word: str, name: str) -> int | str | None:
    if word == "none":
        return None
    return word if name == "rate" or not word.removeprefix("-").isdecimal() else int(word)


def _facts(queue: QueueInfo) -> dict[str, object]:
    return {
        **dataclasses.asdict(queue),
        "retention_succeeded": _seconds(queue.retention_succeeded),
        "retention_other": _seconds(queue.retention_other),
    }


def _row(queue: QueueInfo) -> list[object]:
    paused = f"until {cell(queue.resume_at)}" if queue.paused and queue.resume_at else queue.paused
    waits = None if queue.first_waits is None else dt.timedelta(seconds=queue.first_waits)
    return [
        queue.queue, queue.ready, queue.scheduled, queue.blocked, queue.running,
        queue.unknown_task, paused, waits, queue.retention_succeeded, queue.retention_other,
    ]  # fmt: skip


def _seconds(span: dt.timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
