"""`workers`: look at the workers."""

import dataclasses
from argparse import Namespace

from pgqueue.cli.database import open_app
from pgqueue.cli.exits import Exit
from pgqueue.cli.output import print_json, print_table
from pgqueue.cli.parser import Parser
from pgqueue.core.job import WorkerInfo

_HEADINGS = (
    "id",
    "name",
    "state",
    "queues",
    "children",
    "threads",
    "running",
    "started at",
    "heartbeat at",
    "version",
)


def add(top: Parser) -> None:
    """Add the command."""
    noun = top.command("workers", "look at the workers")
    noun.command(
        "list",
        "list workers that are alive, or were until just now",
        _list,
        details="With --json: an array of objects with id, name, hostname, pid, queues, "
        "started_at, heartbeat_at, has_lock, processes, threads, version, is_leader, is_lost, "
        "running (jobs it holds), children (their process ids) and replaced (how many of them have "
        "taken the place of another).",
    )


def _list(words: Namespace) -> int:
    with open_app(words) as app:
        workers = app.workers()
    if words.json:
        print_json([dataclasses.asdict(worker) for worker in workers])
        return Exit.OK
    rows = [
        [
            worker.id, worker.name, _state(worker), ",".join(worker.queues), worker.processes,
            worker.threads, worker.running, worker.started_at, worker.heartbeat_at, worker.version,
        ]
        for worker in workers
    ]  # fmt: skip
    print_table(_HEADINGS, rows)
    return Exit.OK


def _state(worker: WorkerInfo) -> str:
    if worker.is_lost:
        return "lost"
    return "leader" if worker.is_leader else "alive"
