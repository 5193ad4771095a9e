"""`enqueue`: make a job, by the name of its task."""

import os
import sys
import traceback
from argparse import Namespace

from pgqueue.api.app import PgQueue
from pgqueue.api.loading import is_from_inside, load_apps
from pgqueue.cli.database import open_app
from pgqueue.cli.exits import Exit
from pgqueue.cli.output import say
from pgqueue.cli.parser import Parser, add_call, add_keys, duration, keys_of, moment, whole
from pgqueue.cli.values import json_array, json_object
from pgqueue.core.errors import ConfigurationError


def add(top: Parser) -> None:
    """Add the command."""
    parser = top.command(
        "enqueue",
        "enqueue a job",
        _run,
        details="The task need not be known here: a job is a row with a name, and waits for a "
        "worker that knows it. With --app the task is looked up and the arguments must fit it. "
        "With --unique-key nothing is enqueued while another live job has that key, unless "
        "--on-duplicate says otherwise. With --json: id, task and duplicate.",
        examples=(
            "enqueue shop.tasks.send '[42]'",
            """enqueue shop.tasks.send --kwargs '{"order_id": 42}' --in 5m --priority 10""",
            "enqueue shop.tasks.reindex --unique-key reindex --unique-while waiting",
        ),
    )
    add_call(parser, "shop.tasks.send")
    parser.add_argument(
        "--app",
        action="append",
        default=[],
        metavar="MODULE",
        help="module with tasks: the task must be one of them, and the arguments must fit it",
    )
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--in", dest="run_in", type=duration, metavar="TIME", help="start after 90s, 5m, 1d12h"
    )
    when.add_argument(
        "--at", dest="run_at", type=moment, metavar="WHEN", help="start at a time, ISO 8601"
    )
    parser.add_argument("--queue", metavar="NAME", help="queue (default: the task's, or default)")
    parser.add_argument(
        "--priority", type=whole, metavar="N", help="-32768 to 32767, higher first (default: 0)"
    )
    parser.add_argument(
        "--expires", type=duration, metavar="TIME", help="not to start later, from its start time"
    )
    parser.add_argument("--timeout", type=duration, metavar="TIME", help="longest run")
    parser.add_argument(
        "--max-attempts", type=whole, metavar="N", help="attempts (default: the task's, or 1)"
    )
    parser.add_argument("--meta", metavar="JSON", help="notes of your own, a JSON object")
    add_keys(parser)


def _run(words: Namespace) -> int:
    args = json_array(words.args, "ARGS-JSON")
    kwargs = json_object(words.kwargs, "--kwargs")
    meta = None if words.meta is None else json_object(words.meta, "--meta")
    with named_app(words) as app:
        handle = app.enqueue(
            words.task,
            args,
            kwargs,
            queue=words.queue,
            priority=words.priority,
            run_at=words.run_at if words.run_in is None else words.run_in,
            expires=words.expires,
            timeout=words.timeout,
            max_attempts=words.max_attempts,
            meta=meta,
            **keys_of(words),
        )
    said = "has this unique key already; nothing enqueued" if handle.duplicate else "enqueued"
    facts = {"id": handle.id, "task": handle.task, "duplicate": handle.duplicate}
    say(words, f"job {handle.id} {said}", facts)
    return Exit.OK


def named_app(words: Namespace) -> PgQueue:
    """Give the app of the database that was named, or that the application names itself."""
    if not words.app:
        return open_app(words)
    app = loaded(words.app)
    app.registry.get(words.task)
    return app if words.dsn is None else open_app(words)


def loaded(apps: list[str]) -> PgQueue:
    """Import modules with tasks; give the app that they name.

    Raises:
        ConfigurationError: they cannot be imported.
    """
    if not sys.flags.safe_path and os.getcwd() not in sys.path:
        # `python -m pgqueue` has the current directory there; the script `pgqueue` has its own.
        sys.path.insert(0, os.getcwd())
    try:
        return load_apps(apps)
    except Exception as error:
        sentence = str(error)
        if is_from_inside(error):
            traceback.print_exc()
            sentence = f"{type(error).__name__}: {sentence}"
        failure = ConfigurationError(f"the application cannot be imported: {sentence}")
    raise failure
