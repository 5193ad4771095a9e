"""`schedules`: look at what recurs, make, run, pause, resume and delete it, see what is next."""

import dataclasses
import datetime as dt
from argparse import Namespace
from typing import Any, Final

from pgqueue.api.schedule_jobs import job_of
from pgqueue.api.schedules import check_count
from pgqueue.api.specs import spec_of
from pgqueue.cli.database import open_app
from pgqueue.cli.enqueue import loaded, named_app
from pgqueue.cli.exits import Exit
from pgqueue.cli.output import cell, print_json, print_pairs, print_table, say
from pgqueue.cli.parser import Parser, add_call, add_keys, duration, keys_of, moment, whole
from pgqueue.cli.values import json_array, json_object, to_json
from pgqueue.core.errors import ConfigurationError
from pgqueue.core.job import RunInfo, ScheduleInfo
from pgqueue.core.options import EnqueueOptions, check_task_name
from pgqueue.core.rules import parse_zone
from pgqueue.core.schedule import CATCH_UP, OVERLAP, Recurrence

_HEADINGS: Final = ("schedule", "status", "task", "rule", "next run", "runs", "last job", "error")
_RUNS: Final = ("slot", "fired", "job", "state", "error")
_RULES: Final = ("every", "cron", "rrule", "at", "timezone", "starts_at", "ends_at", "sticky")


def add(top: Parser) -> None:
    """Add the commands."""
    noun = top.command("schedules", "look at what recurs; make, run, pause, resume and delete it")
    noun.command(
        "list",
        "list schedules",
        _list,
        details="With --json: an array of objects as of show, without history.",
    )
    _add_name(
        noun.command(
            "show",
            "show a schedule and its last runs",
            _show,
            details="With --json: id, name, status (active, paused, error, ended, undeclared), "
            "task, args, kwargs, queue, priority, kind, rule, timezone, starts_at, ends_at, "
            "repeats, jitter in seconds, catch_up, max_catch_up, overlap, sticky, planned_kwarg, "
            "source, done_until, next_slot, next_run_at, runs, skipped, last_slot, last_fired_at, "
            "last_job_id, last_state, last_result, last_error, error, options; and history, an "
            "array of slot, job_id, fired_at, manual, state, result, error and duplicate_of.",
        )
    )
    _add_add(noun)
    _add_name(
        noun.command(
            "run",
            "make a job of a schedule now, beside its plan",
            _run,
            details="With --json: schedule, and id, of the job.",
        )
    )
    _add_name(
        noun.command(
            "pause",
            "let a schedule make no jobs",
            _pause,
            details="With --json: schedule, and paused, which is false if it was paused already.",
        )
    )
    _add_name(
        noun.command(
            "resume",
            "let a schedule make jobs again, or try one with an error again",
            _resume,
            details="What it would have run while it was paused is left out. With --json: schedule,"
            " and resumed, which is false if it was not paused.",
        )
    )
    _add_name(
        noun.command(
            "delete",
            "delete a schedule and its history; its jobs stay",
            _delete,
            details="One that code declares comes back when a worker with that code starts. With "
            "--json: schedule, and deleted, which is false if there was none.",
        )
    )
    _add_preview(noun)
    parser = noun.command(
        "sync",
        "make the schedules that code declares those of the database, as a worker does at start",
        _sync,
        details="With --json: changed, how many are new or say something else than before, and "
        "withdrawn, how many these modules declare no more.",
        examples=("schedules sync --app shop.tasks",),
    )
    parser.add_argument(
        "--app", action="append", required=True, metavar="MODULE", help="module with tasks"
    )


def _add_name(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the schedule's name")


def _add_rule(parser: Parser) -> None:
    parser.add_argument("--every", metavar="TIME", help="90s, 5m, 12h, '1 day', '3 months', weekly")
    parser.add_argument("--cron", metavar="FIELDS", help="'0 9 * * 1-5', @daily")
    parser.add_argument("--rrule", metavar="RULE", help="RFC 5545: 'FREQ=MONTHLY;BYDAY=-1FR'")
    parser.add_argument("--at", type=moment, metavar="WHEN", help="once, at a time, ISO 8601")
    parser.add_argument("--timezone", metavar="NAME", help="whose clocks (default: UTC)")
    parser.add_argument("--starts-at", type=moment, metavar="WHEN", help="the first slot")
    parser.add_argument("--ends-at", type=moment, metavar="WHEN", help="no slot is later")
    parser.add_argument(
        "--sticky",
        action="store_const",
        const=True,
        help="a short month shortens those that follow",
    )


def _add_add(noun: Parser) -> None:
    parser = noun.command(
        "add",
        "make a schedule, or change the one of this name",
        _add,
        details="The task need not be known here; with --app it is looked up. A pause stays, and "
        "so does what has run. With --json: schedule, and next, the planned instants that "
        "come first.",
        examples=(
            "schedules add report shop.tasks.report --cron '0 9 * * 1-5' --timezone Europe/Berlin",
            "schedules add poll shop.tasks.poll '[1]' --every 5m --overlap skip",
        ),
    )
    _add_name(parser)
    add_call(parser, "shop.tasks.report")
    _add_rule(parser)
    parser.add_argument("--repeats", type=whole, metavar="N", help="runs after which it ends")
    parser.add_argument("--jitter", type=duration, metavar="TIME", help="most delay of a run")
    parser.add_argument(
        "--catch-up",
        metavar="HOW",
        help=f"slots that were missed: {', '.join(CATCH_UP)} (default: once)",
    )
    parser.add_argument(
        "--max-catch-up", type=whole, metavar="N", help="most missed slots that run (default: 1000)"
    )
    parser.add_argument(
        "--overlap",
        metavar="HOW",
        help=f"when its last job still lives: {', '.join(OVERLAP)} (default: allow)",
    )
    parser.add_argument(
        "--planned-kwarg", metavar="NAME", help="keyword argument that gets the planned instant"
    )
    parser.add_argument(
        "--app",
        action="append",
        default=[],
        metavar="MODULE",
        help="module with tasks: the task must be one of them, the arguments must fit it, and the "
        "jobs have its limits, keys and callbacks",
    )
    parser.add_argument("--queue", metavar="NAME", help="queue (default: the task's, or default)")
    parser.add_argument(
        "--priority", type=whole, metavar="N", help="-32768 to 32767, higher first (default: 0)"
    )
    add_keys(parser)


def _add_preview(noun: Parser) -> None:
    parser = noun.command(
        "preview",
        "show the next planned instants, of a schedule or of a rule",
        _preview,
        details="With a name, of that schedule; without, of the rule that is given, which asks no "
        "database. With --json: an array of times.",
        examples=(
            "schedules preview report",
            "schedules preview --cron '30 2 * * *' --timezone Europe/Berlin --count 3",
        ),
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the schedule's name")
    _add_rule(parser)
    parser.add_argument("--count", type=whole, default=5, metavar="N", help="how many (default: 5)")
    parser.add_argument(
        "--after", type=moment, metavar="WHEN", help="those after a time (default: after now)"
    )


def _list(words: Namespace) -> int:
    with open_app(words) as app:
        found = app.schedules.list()
    if words.json:
        print_json([_facts(one) for one in found])
    else:
        print_table(_HEADINGS, [_row(one) for one in found])
    return Exit.OK


def _show(words: Namespace) -> int:
    with open_app(words) as app:
        handle = app.schedules.get(words.name)
        info, history = handle.info(), handle.history()
    facts = _facts(info)
    if words.json:
        print_json({**facts, "history": [_run_facts(run) for run in history]})
        return Exit.OK
    print_pairs({name: value for name, value in facts.items() if value not in (None, [], {})})
    if history:
        print()
        print_table(_RUNS, [_run_row(run) for run in history[:10]])
    return Exit.OK


def _add(words: Namespace) -> int:
    args = json_array(words.args, "ARGS-JSON")
    kwargs = json_object(words.kwargs, "--kwargs")
    options = _rule(words)
    for name in ("repeats", "jitter", "catch_up", "max_catch_up", "overlap", "planned_kwarg"):
        if getattr(words, name) is not None:
            options[name] = getattr(words, name)
    given = {"queue": words.queue, "priority": words.priority, **keys_of(words)}
    with named_app(words) as app:
        if words.app:
            task = app.registry.get(words.task).using(**given)
            spec = job_of(task, tuple(args), kwargs, words.planned_kwarg, app.registry)
        else:
            job = EnqueueOptions.from_kwargs(**given)
            spec = spec_of(
                check_task_name(words.task, "task"), tuple(args), kwargs, job, job.unique_key,
                concurrency_key=job.concurrency_key, fair_key=job.fair_key,
            )  # fmt: skip
        handle = app.schedule(spec, name=words.name, **options)
        following = handle.preview(3)
    zone = parse_zone(options.get("timezone", "UTC"))
    first = ", ".join(_local(slot, zone) for slot in following) or "none"
    say(
        words,
        f"schedule {handle.name} is set; next: {first}",
        {"schedule": handle.name, "next": following},
    )
    return Exit.OK


def _run(words: Namespace) -> int:
    with open_app(words) as app:
        handle = app.schedules.get(words.name).run_now()
    say(words, f"job {handle.id} enqueued", {"schedule": words.name, "id": handle.id})
    return Exit.OK


def _pause(words: Namespace) -> int:
    with open_app(words) as app:
        paused = app.schedules.get(words.name).pause()
    done = "is paused" if paused else "was paused already"
    say(words, f"schedule {words.name} {done}", {"schedule": words.name, "paused": paused})
    return Exit.OK


def _resume(words: Namespace) -> int:
    with open_app(words) as app:
        resumed = app.schedules.get(words.name).resume()
    done = "is resumed" if resumed else "was not paused"
    say(words, f"schedule {words.name} {done}", {"schedule": words.name, "resumed": resumed})
    return Exit.OK


def _delete(words: Namespace) -> int:
    with open_app(words) as app:
        deleted = app.schedules.get(words.name).delete()
    done = "is deleted" if deleted else "is not there"
    say(words, f"schedule {words.name} {done}", {"schedule": words.name, "deleted": deleted})
    return Exit.OK


def _preview(words: Namespace) -> int:
    check_count(words.count, "--count")
    options = _rule(words)
    if words.name is None:
        now = words.after or dt.datetime.now(dt.UTC)
        slots = Recurrence.from_kwargs(**options).preview(words.count, now)
        zone = parse_zone(options.get("timezone", "UTC"))
    elif options:
        raise ConfigurationError("preview takes the name of a schedule or a rule, not both")
    else:
        with open_app(words) as app:
            handle = app.schedules.get(words.name)
            slots = handle.preview(words.count, after=words.after)
            zone = parse_zone(handle.info().timezone)
    if words.json:
        print_json(slots)
    for slot in [] if words.json else slots:
        print(_local(slot, zone))
    return Exit.OK


def _sync(words: Namespace) -> int:
    app = loaded(words.app)
    with app if words.dsn is None else open_app(words) as target:
        changed, withdrawn = target.schedules.declare(app.registry, words.app)
    say(
        words,
        f"{changed} schedules changed, {withdrawn} declared no more",
        {"changed": changed, "withdrawn": withdrawn},
    )
    return Exit.OK


def _rule(words: Namespace) -> dict[str, Any]:
    return {name: getattr(words, name) for name in _RULES if getattr(words, name) is not None}


def _local(slot: dt.datetime, zone: dt.tzinfo) -> str:
    return slot.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def _facts(info: ScheduleInfo) -> dict[str, object]:
    return {
        **{item.name: getattr(info, item.name) for item in dataclasses.fields(info)},
        "args": to_json(list(info.args)),
        "kwargs": to_json(info.kwargs),
        "jitter": info.jitter.total_seconds(),
        "last_result": to_json(info.last_result),
    }


def _run_facts(run: RunInfo) -> dict[str, object]:
    return {
        **{item.name: getattr(run, item.name) for item in dataclasses.fields(run)},
        "result": to_json(run.result),
    }


def _row(info: ScheduleInfo) -> list[object]:
    rule = info.rule or cell(info.starts_at)
    if info.timezone != "UTC" and info.kind != "once":
        rule = f"{rule} {info.timezone}"
    last = None if info.last_job_id is None else f"{info.last_job_id} {info.last_state or 'pruned'}"
    return [
        info.name, info.status, info.task, rule, info.next_run_at, info.runs, last,
        info.error or info.last_error,
    ]  # fmt: skip


def _run_row(run: RunInfo) -> list[object]:
    state: str | None = run.state or "pruned"
    if run.job_id is None:
        same = run.duplicate_of
        state = "skipped" if same is None else f"duplicate of {same}"
    return [run.slot, run.fired_at, run.job_id, state, run.error]
