"""`worker`: run jobs until told to stop. Imports nothing of the application in this process."""

import logging
import os
import sys
import time
from argparse import Namespace
from typing import Final

from pgqueue.cli.parser import Parser, duration, size, whole
from pgqueue.core.errors import ConfigurationError, ConnectionLostError, shown, suggest
from pgqueue.core.queue_list import parse_queues
from pgqueue.db import connections, schema
from pgqueue.worker import logs, seed
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.supervisor import run
from pgqueue.worker.trouble import Trouble

#: The environment variable that holds the DSN of the listener where none was given.
LISTEN_VARIABLE: Final = "PGQUEUE_LISTEN_DSN"

#: Seconds in which a server that is there, but starts or ends, has to be ready for us.
_PATIENCE: Final = 60.0

_NUMBERS = ("processes", "threads", "max_jobs", "max_rss")
_DURATIONS = (
    "grace", "cancel_grace", "timeout", "heartbeat", "lease", "fallback", "max_outage",
)  # fmt: skip


def add(top: Parser) -> None:
    """Add the command."""
    parser = top.command(
        "worker",
        "run jobs until told to stop",
        _run,
        details="SIGTERM or Ctrl-C stops it gracefully: nothing more is started, what runs may "
        "end. A second one stops it at once, and other workers run again what was cut short. "
        "SIGHUP imports the application anew, SIGUSR1 writes stacks into the log, SIGUSR2 has it "
        "take no more jobs until the next one. The log goes to standard error; with --json each "
        "line of it is an object with at, level, logger and message, those of tasks included "
        "unless the application logs elsewhere.",
        examples=(
            "worker --app shop.tasks",
            "worker --app shop.tasks --queues mail,default --processes 4 --threads 8",
            "worker --app shop.tasks --burst",
        ),
    )
    parser.add_argument(
        "--app",
        action="append",
        default=[],
        metavar="MODULE",
        help="module with tasks, my.tasks, or an app in one, my.tasks:app; may be given again",
    )
    parser.add_argument(
        "--queues",
        default="*",
        metavar="NAMES",
        help="queues to take jobs from, in this order: mail,default; or by weight: "
        "mail*3,default*1; * is every queue (default: *)",
    )
    parser.add_argument(
        "--processes", type=whole, metavar="N", help="children (default: one a processor)"
    )
    parser.add_argument(
        "--threads", type=whole, metavar="N", help="jobs at once in each child (default: 1)"
    )
    parser.add_argument("--burst", action="store_true", help="stop when no job is ready any more")
    parser.add_argument(
        "--reload",
        action="store_true",
        help="import the application anew when one of its files changes; for development",
    )
    parser.add_argument("--name", help="name to be shown (default: host:pid)")
    parser.add_argument(
        "--grace",
        type=duration,
        metavar="TIME",
        help="how long running jobs may go on when the worker is stopped (default: 30s)",
    )
    parser.add_argument(
        "--timeout",
        type=duration,
        metavar="TIME",
        help="how long a job may run whose task and producer say nothing (default: no limit)",
    )
    parser.add_argument(
        "--cancel-grace",
        type=duration,
        metavar="TIME",
        help="how long a running job may go on when it is cancelled; the child that runs it is "
        "killed then (default: 10s)",
    )
    parser.add_argument(
        "--max-jobs",
        type=whole,
        metavar="N",
        help="replace a child when it has run so many jobs (default: never)",
    )
    parser.add_argument(
        "--max-rss",
        type=size,
        metavar="SIZE",
        help="replace a child, between jobs, when it uses more memory: 512MB, 1GiB "
        "(default: never)",
    )
    parser.add_argument(
        "--heartbeat", type=duration, metavar="TIME", help="between signs of life (default: 2s)"
    )
    parser.add_argument(
        "--lease",
        type=duration,
        metavar="TIME",
        help="without a sign of life for so long, its jobs go to others (default: 30s)",
    )
    parser.add_argument(
        "--fallback",
        type=duration,
        metavar="TIME",
        help="between looks that nobody rang for (default: as heartbeat)",
    )
    parser.add_argument(
        "--max-outage",
        type=duration,
        metavar="TIME",
        help="end, with exit code 3, when the database was away for so long (default: never)",
    )
    parser.add_argument(
        "--listen-dsn",
        metavar="DSN",
        help="where to listen for new jobs, past a transaction pooler; the default is "
        f"{LISTEN_VARIABLE}, then the DSN itself",
    )
    parser.add_argument(
        "--log-level",
        default="info",
        metavar="LEVEL",
        help=f"{', '.join(logs.LEVELS)} (default: info)",
    )


def _run(words: Namespace) -> int:
    if words.is_program:
        seed.plant()
    _configure_logging(words)
    queues = parse_queues(words.queues)
    given = {name: getattr(words, name) for name in _NUMBERS}
    spans = {name: getattr(words, name) for name in _DURATIONS}
    given |= {name: span.total_seconds() for name, span in spans.items() if span is not None}
    dsn = connections.resolve(words.dsn)
    listen_dsn = words.listen_dsn or os.environ.get(LISTEN_VARIABLE) or None
    if listen_dsn is not None:
        listen_dsn = connections.resolve(listen_dsn)
        connections.parameters(listen_dsn)
    config = WorkerConfig(
        dsn=dsn,
        apps=tuple(words.app),
        queues=queues,
        name=words.name,
        burst=words.burst,
        reload=words.reload,
        listen_dsn=listen_dsn,
        log_level=str(words.log_level).lower(),
        log_json=bool(words.json),
        **{name: value for name, value in given.items() if value is not None},
    )
    _check_schema(dsn, config.max_outage or _PATIENCE)
    if dsn:
        # A task that enqueues does so in the same database; the environment is no argument that
        # others could read.
        os.environ[connections.DSN_VARIABLE] = dsn
    run(config, words.version)
    return 0


def _check_schema(dsn: str | None, patience: float) -> None:
    """Hold the schema to our version; wait for a server that is there, and starts or ends, or
    breaks the connection: it says nothing about the schema."""
    until = time.monotonic() + patience
    trouble = Trouble("start")
    is_there = False
    while True:
        try:
            with connections.opened(dsn) as connection:
                is_there = True
                schema.check(connection)
            return
        except ConnectionLostError as error:
            is_there = is_there or connections.says_server_starts_or_ends(error)
            if not is_there or time.monotonic() > until:
                raise
            time.sleep(trouble.failed(error))


def _configure_logging(words: Namespace) -> None:
    level = str(words.log_level).lower()
    if level not in logs.LEVELS:
        raise ConfigurationError(
            f"--log-level must be one of {', '.join(logs.LEVELS)}; "
            f"got {shown(words.log_level)}{suggest(level, logs.LEVELS)}"
        )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logs.formatter(as_json=bool(words.json)))
    logging.basicConfig(level=level.upper(), handlers=[handler])
