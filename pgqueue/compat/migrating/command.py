"""`migrate-from`: its options, its progress bar, and what it prints."""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import django
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pgqueue.cli.exits import Exit
from pgqueue.cli.output import note, print_json, print_table
from pgqueue.compat import alias as aliases
from pgqueue.compat.migrating import engine
from pgqueue.compat.migrating.engine import Kind, Mover
from pgqueue.compat.migrating.report import Report
from pgqueue.core.errors import ConfigurationError, ConnectionLostError, shown, suggest
from pgqueue.db import failures, schema
from pgqueue.django import conf

#: By what is typed: the package of the old library.
LIBRARIES: Final = {
    "django-q": "django_q",
    "django-future": "django_future",
    "django-async": "async",
}
_NAMED: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument(
        "library",
        metavar="LIBRARY",
        help="django-q (or django-q2), django-future or django-async; its tables are read",
    )
    parser.add_argument(
        "--apply",
        "--yes",
        action="store_true",
        help="move the rows; without it nothing is written, and what would be moved is told",
    )
    parser.add_argument(
        "--delete",
        action="store_true",
        help="with --apply: delete from the old tables what was moved, once all is moved",
    )
    parser.add_argument(
        "--database",
        metavar="ALIAS",
        help="alias of the database with the old tables (default: that of the queue)",
    )
    parser.add_argument(
        "--salt",
        metavar="NAME",
        action="append",
        default=[],
        help='django-q: a name that a cluster had when it signed tasks, beside Q_CLUSTER["name"]; '
        "may be given several times",
    )
    parser.add_argument(
        "--without-values",
        action="store_true",
        help="move what is over also where its arguments or its result cannot be read, without "
        "these",
    )
    parser.add_argument(
        "--batch",
        metavar="N",
        type=_count,
        default=engine.BATCH,
        help="rows of one transaction (default: %(default)s)",
    )


def run(words: argparse.Namespace) -> int:
    """Run it; gives the exit code: 1 when rows were refused.

    Raises:
        ConfigurationError: the library, the project or the database is wrong.
    """
    name = _library(words.library)
    if words.delete and not words.apply:
        raise ConfigurationError("--delete goes with --apply; without it nothing is written")
    _set_up(words)
    facade = aliases.FACADES[name]
    if not apps.is_installed(facade):
        raise ConfigurationError(
            f"INSTALLED_APPS must name {facade}, which takes what is moved; add it in the place "
            f"of {name}"
        )
    alias = words.database or conf.database()
    if alias not in settings.DATABASES:
        raise ConfigurationError(
            f"--database must be an alias of DATABASES; got {shown(alias)}"
            f"{suggest(alias, settings.DATABASES)}"
        )
    if connections[alias].vendor != "postgresql":
        raise ConfigurationError(
            f"the old tables must be in PostgreSQL; the database {alias!r} is "
            f"{connections[alias].vendor}; copy them into a PostgreSQL database first, and name "
            "that with --database"
        )
    module: Any = importlib.import_module(f"pgqueue.compat.migrating.from_{facade[15:]}")
    try:
        for one in {alias, conf.database()}:
            connections[one].ensure_connection()
        problem = schema.status(connections[conf.database()].connection).problem()
        if problem is not None:
            raise problem
        kinds = module.kinds(alias=alias, salts=words.salt, without_values=words.without_values)
        report = _move(words, kinds, alias, getattr(module, "during", contextlib.nullcontext))
        report.elsewhere = getattr(module, "stays", list)()
    except Error as error:
        for one in {alias, conf.database()}:
            driver = connections[one].connection
            if driver is None or driver.closed:
                raise ConnectionLostError(
                    f"the database {one!r} cannot be reached, or its connection broke: "
                    f"{str(error).partition(chr(10))[0]}; what is not moved yet is moved when this "
                    "is run again"
                ) from None
        # What the server said, as for every command.
        raise failures.translate(error) or error.__cause__ or error from None
    _tell(words, report)
    is_left = report.refused or report.kept or any(stay.count for stay in report.elsewhere)
    return Exit.FAILED if is_left else Exit.OK


def _library(word: str) -> str:
    name = word.lower().replace("_", "-")
    name = "django-q" if name == "django-q2" else name
    if name not in LIBRARIES:
        raise ConfigurationError(
            f"the library must be one of {', '.join(LIBRARIES)}; got {shown(word)}"
            f"{suggest(word, LIBRARIES)}"
        )
    return LIBRARIES[name]


def _set_up(words: argparse.Namespace) -> None:
    if words.dsn is not None:
        raise ConfigurationError(
            "--dsn is not for this command: the settings of the project say where the database is"
        )
    if not apps.ready:
        if not os.environ.get("DJANGO_SETTINGS_MODULE"):
            raise ConfigurationError(
                "DJANGO_SETTINGS_MODULE must name the settings of the project; it is not set; "
                "set it, or run manage.py pgqueue migrate-from"
            )
        # As for manage.py, the project is where one stands.
        sys.path.insert(0, os.getcwd())
        try:
            django.setup()
        except (ImportError, ImproperlyConfigured) as error:
            raise ConfigurationError(f"the project cannot be set up: {error}") from None


def _move(
    words: argparse.Namespace,
    kinds: list[Kind],
    alias: str,
    during: Callable[[], contextlib.AbstractContextManager[None]],
) -> Report:
    with _bars(silent=words.json) as (total, advance):
        mover = Mover(
            words.library,
            kinds,
            alias=alias,
            apply=words.apply,
            delete=words.delete,
            batch=words.batch,
            advance=advance,
        )
        total(mover.count())
        with during() if words.apply else contextlib.nullcontext():
            return mover.run()


@contextlib.contextmanager
def _bars(
    *, silent: bool
) -> Iterator[tuple[Callable[[dict[Kind, int]], None], Callable[[Kind, int], None]]]:
    """Draw a bar for each kind of rows, on a terminal."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, disable=silent or not console.is_terminal,
    ) as progress:  # fmt: skip
        tasks: dict[Kind, Any] = {}

        def total(counts: dict[Kind, int]) -> None:
            for kind, count in counts.items():
                tasks[kind] = progress.add_task(kind.what, total=count)

        yield total, lambda kind, rows: progress.advance(tasks[kind], rows)


def _tell(words: argparse.Namespace, report: Report) -> None:
    if words.json:
        print_json(report.facts())
        return
    moved = "moved" if report.applied else "would move"
    print_table(
        ("rows", "table", "found", "moved before", moved, "refused"),
        [
            (
                tally.what, tally.table,
                *(["-"] * 4 if tally.missing
                  else [tally.found, tally.before, tally.moved, tally.count_refused]),
            )
            for tally in report.tallies
        ],
    )  # fmt: skip
    for tally in report.tallies:
        for key, why in list(tally.refused.items())[:_NAMED]:
            note(f"{tally.table} {key} is not moved: {why}")
        if tally.count_refused > _NAMED:
            note(f"{tally.count_refused - _NAMED} more of {tally.table}; --json names them")
        if tally.lossy:
            note(f"{tally.lossy} of {tally.table} without values that could not be read")
        if tally.deleted:
            note(f"{tally.deleted} rows were deleted from {tally.table}")
    for stay in report.stays:
        if stay.count != 0:
            note(str(stay))
    if report.kept:
        note(report.kept)
    if not report.applied:
        note("nothing was written; stop the old library's workers, then give --apply")


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 10_000:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 1 to 10000; got {shown(text)}"
        )
    return int(text)
