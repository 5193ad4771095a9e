"""`jobs`: look at jobs, and move one by hand."""

import dataclasses
from argparse import Namespace

import orjson

from pgqueue.cli.database import open_app
from pgqueue.cli.exits import Exit
from pgqueue.cli.output import cell, print_json, print_pairs, print_table, say, visible
from pgqueue.cli.parser import Parser, duration, moment, whole
from pgqueue.cli.values import json_array, json_object, to_json
from pgqueue.core.errors import JobNotFoundError
from pgqueue.core.job import FailedAttempt, Job
from pgqueue.core.states import WAITING

#: What a job holds of its application's own, which a list shows only when asked.
_OWN = ("args", "kwargs", "result", "meta")


def add(top: Parser) -> None:
    """Add the commands."""
    noun = top.command("jobs", "look at jobs, and move one by hand")
    parser = noun.command(
        "list",
        "list jobs, the newest first",
        _list,
        details="Arguments, results and meta may be private, so they are shown only with --args. "
        "With --json: an array of objects with id, task, queue, priority, state, attempt, lost, "
        "crashes, max_attempts, run_at, expires_at, timeout in seconds, created_at, started_at, "
        "finished_at, worker_id, error and reason; with --args also args, kwargs, result and meta.",
        examples=("jobs list --state failed --queue mail", "jobs list --limit 100 --before 4711"),
    )
    parser.add_argument("--state", metavar="STATE", help="only those in this state")
    parser.add_argument("--queue", metavar="NAME", help="only those of this queue")
    parser.add_argument("--task", metavar="NAME", help="only those of this task")
    parser.add_argument(
        "--limit", type=whole, default=100, metavar="N", help="at most so many (default: 100)"
    )
    parser.add_argument(
        "--before", type=whole, metavar="ID", help="only those with a smaller id: the next page"
    )
    parser.add_argument("--args", action="store_true", help="show arguments, results and meta too")
    parser = noun.command(
        "show",
        "show all of one job, and what went wrong with it",
        _show,
        details="With --json: the object of jobs list --args, and errors: an array of objects with "
        "attempt, kind, message, traceback and at.",
    )
    _add_id(parser)
    parser = noun.command(
        "retry",
        "let a job that has ended, or is scheduled, run again",
        _retry,
        details="It gets all its attempts again. With --json: id and state.",
        examples=("jobs retry 4711", "jobs retry 4711 --in 1h"),
    )
    _add_id(parser)
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--in", dest="run_in", type=duration, metavar="TIME", help="start after 90s, 5m, 1d12h"
    )
    when.add_argument(
        "--at", dest="run_at", type=moment, metavar="WHEN", help="start at a time, ISO 8601"
    )
    parser = noun.command(
        "cancel",
        "cancel a job; one that runs is asked to stop",
        _cancel,
        details="With --json: id and state, which is cancelled, or running where its worker was "
        "asked, or the state in which the job had ended before.",
    )
    _add_id(parser)
    parser.add_argument("--reason", metavar="TEXT", help="a sentence, shown with the job")
    parser = noun.command(
        "cancel-matching",
        "cancel all jobs that match and are not over",
        _cancel_matching,
        details="Whatever is given must match; JSON is compared as values. Those that run are "
        "asked to stop. With --json: cancelled and asked, two numbers.",
        examples=(
            "jobs cancel-matching --task shop.send --args '[42]'",
            "jobs cancel-matching --queue bulk --older-than 2d --reason 'too late'",
        ),
    )
    parser.add_argument("--task", metavar="NAME", help="of this task")
    parser.add_argument("--args", metavar="ARGS-JSON", help="with these positional arguments")
    parser.add_argument("--kwargs", metavar="JSON", help="with these keyword arguments")
    parser.add_argument("--queue", metavar="NAME", help="of this queue")
    parser.add_argument("--unique-key", metavar="KEY", help="with this unique key")
    parser.add_argument("--concurrency-key", metavar="KEY", help="with this concurrency key")
    parser.add_argument(
        "--older-than", type=duration, metavar="TIME", help="enqueued at least so long ago"
    )
    parser.add_argument(
        "--group", type=whole, metavar="ID", help="of this group, or of a group in it"
    )
    parser.add_argument("--reason", metavar="TEXT", help="a sentence, shown with the jobs")
    parser = noun.command(
        "set-priority",
        "let a waiting job go before or behind others",
        _set_priority,
        details="One that runs or is over is left as it is. With --json: id and state.",
        examples=("jobs set-priority 4711 10",),
    )
    _add_id(parser)
    parser.add_argument("priority", type=int, metavar="N", help="-32768 to 32767, higher first")
    parser = noun.command(
        "set-queue",
        "let a waiting job run in another queue, or one that is over, when it is retried",
        _set_queue,
        details="One that runs is left as it is. With --json: id and state.",
        examples=("jobs set-queue 4711 slow",),
    )
    _add_id(parser)
    parser.add_argument("queue", metavar="NAME", help="the queue")
    parser = noun.command(
        "delete",
        "delete a job that does not run, with all about it",
        _delete,
        details="With --json: id and deleted.",
    )
    _add_id(parser)


def _add_id(parser: Parser) -> None:
    parser.add_argument("id", type=whole, metavar="ID", help="the job's id")


def _list(words: Namespace) -> int:
    with open_app(words) as app:
        jobs = app.jobs(
            state=words.state,
            queue=words.queue,
            task=words.task,
            before=words.before,
            limit=words.limit,
        )
    if words.json:
        print_json([_facts(job, own=words.args) for job in jobs])
        return Exit.OK
    headings = ["id", "state", "task", "queue", "attempt", "created at", "why"]
    rows = [
        [
            job.id, job.state, job.task, job.queue, _attempts(job), job.created_at, _why(job),
            *([_call(job), _result(job)] if words.args else []),
        ]
        for job in jobs
    ]  # fmt: skip
    print_table([*headings, *(["arguments", "result"] if words.args else [])], rows)
    return Exit.OK


def _show(words: Namespace) -> int:
    with open_app(words) as app:
        job = app.get_job(words.id)
        errors = app.job(words.id).errors()
        logs = app.job(words.id).logs()
    if words.json:
        told = {
            "errors": [dataclasses.asdict(error) for error in errors],
            "logs": [dataclasses.asdict(line) for line in logs],
        }
        print_json({**_facts(job), **told})
        return Exit.OK
    facts = {name: value for name, value in _facts(job).items() if name not in _OWN}
    facts |= {"call": f"({_call(job)})", "result": _result(job), "meta": _text(job.meta)}
    print_pairs({**facts, "timeout": None if job.timeout is None else f"{job.timeout:g}s"})
    if logs:
        print()
    for line in logs:
        print(f"{cell(line.at)} {line.level}: {visible(line.message)}")
    for error in errors:
        print(f"\n{_headline(error)}\n")
        print(visible(error.traceback.strip("\n") or f"{error.kind}: {error.message}"))
    return Exit.OK


def _retry(words: Namespace) -> int:
    with open_app(words) as app:
        state = app.job(words.id).retry(words.run_at if words.run_in is None else words.run_in)
    say(words, f"job {words.id} is {state}", {"id": words.id, "state": state})
    return Exit.OK


def _cancel(words: Namespace) -> int:
    with open_app(words) as app:
        state = app.job(words.id).cancel(words.reason)
    asked = "; its worker was asked to stop it" if state == "running" else ""
    say(words, f"job {words.id} is {state}{asked}", {"id": words.id, "state": state})
    return Exit.OK


def _cancel_matching(words: Namespace) -> int:
    with open_app(words) as app:
        counts = app.cancel_matching(
            task=words.task,
            args=None if words.args is None else json_array(words.args, "--args"),
            kwargs=None if words.kwargs is None else json_object(words.kwargs, "--kwargs"),
            queue=words.queue,
            unique_key=words.unique_key,
            concurrency_key=words.concurrency_key,
            older_than=words.older_than,
            group=words.group,
            reason=words.reason,
        )
    said = f"{counts.cancelled} jobs cancelled, {counts.asked} that run asked to stop"
    say(words, said, {"cancelled": counts.cancelled, "asked": counts.asked})
    return Exit.OK


def _set_priority(words: Namespace) -> int:
    with open_app(words) as app:
        state = app.job(words.id).set_priority(words.priority)
    return _say_whether_left(words, state, state in WAITING)


def _set_queue(words: Namespace) -> int:
    with open_app(words) as app:
        state = app.job(words.id).set_queue(words.queue)
    return _say_whether_left(words, state, state != "running")


def _say_whether_left(words: Namespace, state: str, changed: bool) -> int:
    left = "" if changed else " and was left as it is"
    say(words, f"job {words.id} is {state}{left}", {"id": words.id, "state": state})
    return Exit.OK


def _delete(words: Namespace) -> int:
    with open_app(words) as app:
        if not app.job(words.id).delete():
            raise JobNotFoundError(f"there is no job {words.id}", words.id)
    say(words, f"job {words.id} deleted", {"id": words.id, "deleted": True})
    return Exit.OK


def _facts(job: Job, *, own: bool = True) -> dict[str, object]:
    """Give all that is known of a job, as JSON can write it."""
    facts = {
        field.name: getattr(job, field.name)
        for field in dataclasses.fields(job)
        if field.name not in _OWN
    }
    if own:
        facts |= {"args": to_json(list(job.args)), "kwargs": to_json(job.kwargs)}
        facts |= {"result": to_json(job.result), "meta": to_json(job.meta)}
    return facts


def _why(job: Job) -> str | None:
    """Say why a job stands where it does."""
    if job.state == "scheduled":
        return f"{job.reason} until {cell(job.run_at)}"
    return job.error or job.reason


def _attempts(job: Job) -> str:
    return f"{job.attempt}" if job.max_attempts is None else f"{job.attempt} of {job.max_attempts}"


def _call(job: Job) -> str:
    return ", ".join(
        [*map(_text, job.args), *(f"{name}={_text(value)}" for name, value in job.kwargs.items())]
    )


def _text(value: object) -> str:
    return orjson.dumps(to_json(value)).decode()


def _result(job: Job) -> str | None:
    return None if job.result is None else _text(job.result)


def _headline(error: FailedAttempt) -> str:
    return f"attempt {error.attempt} at {cell(error.at)}: {visible(error.kind)}"
