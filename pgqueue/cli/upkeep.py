"""`health`, `check`, `prune`: about the queue as a whole."""

import dataclasses
from argparse import Namespace

from pgqueue.cli.database import open_app
from pgqueue.cli.exits import Exit
from pgqueue.cli.output import print_json, print_pairs, print_table, say
from pgqueue.cli.parser import Parser, duration


def add(top: Parser) -> None:
    """Add the commands."""
    top.command(
        "health",
        "tell whether all is well",
        _health,
        details="Exit code 1 unless the status is ok; it may be: no worker, worker lost, unknown "
        "task. With --json: status, workers, workers_lost, leader, ready, scheduled, blocked, "
        "running, unknown_task, paused_queues, first_waits_seconds and notification_queue (the "
        "part of the server's queue of notifications that is in use).",
    )
    top.command(
        "check",
        "list whatever must not be in the database",
        _check,
        details="Exit code 1 if there is any. With --json: an array of objects with problem, "
        "job_id and detail.",
    )
    parser = top.command(
        "prune",
        "delete finished jobs now, as workers do by themselves",
        _prune,
        details="With --json: deleted, how many.",
        examples=("prune", "prune --older-than 7d"),
    )
    parser.add_argument(
        "--older-than",
        type=duration,
        metavar="TIME",
        help="those that ended so long ago, such as 7d, whatever their retention "
        "(left out: those whose retention is over)",
    )


def _health(words: Namespace) -> int:
    with open_app(words) as app:
        found = app.health()
    health = {"status": found["status"], **found}
    if words.json:
        print_json(health)
    else:
        print_pairs(health)
    return Exit.OK if health["status"] == "ok" else Exit.FAILED


def _check(words: Namespace) -> int:
    with open_app(words) as app:
        problems = app.check()
    if words.json:
        print_json([dataclasses.asdict(problem) for problem in problems])
    elif problems:
        rows = [(item.problem, item.job_id, item.detail or None) for item in problems]
        print_table(("problem", "job", "detail"), rows)
    else:
        print("no problems")
    return Exit.FAILED if problems else Exit.OK


def _prune(words: Namespace) -> int:
    with open_app(words) as app:
        deleted = app.prune(older_than=words.older_than)
    jobs = "job" if deleted == 1 else "jobs"
    say(words, f"{deleted} {jobs} deleted", {"deleted": deleted})
    return Exit.OK
