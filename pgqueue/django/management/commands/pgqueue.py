"""`manage.py pgqueue …`: the program of `python -m pgqueue`, on the database of the project."""

import contextlib
import importlib
import os
import sys
from argparse import REMAINDER
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, handle_default_options
from django.db import connections

from pgqueue import __version__
from pgqueue.api.default import default_app
from pgqueue.cli import main as cli
from pgqueue.cli.exits import Exit
from pgqueue.core.errors import PgQueueError
from pgqueue.db.connections import DSN_VARIABLE
from pgqueue.django import conf, connection

#: What Django gives every command and we have not; how many words it takes.
_DJANGOS: Final = {
    "--settings": 1,
    "--pythonpath": 1,
    "--traceback": 0,
    "--no-color": 0,
    "--force-color": 0,
    "--skip-checks": 0,
}
#: The worker's application.
_PROJECT: Final = "pgqueue.django.project"


class Command(BaseCommand):
    """Run one command line of pgqueue."""

    help = (
        "The program of python -m pgqueue, on the database of this project: worker, enqueue, jobs, "
        "queues, workers, health, check, prune, schema. See manage.py pgqueue --help."
    )
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run what was typed, and end the program as `python -m pgqueue` would."""
        own, arguments = _split(argv[2:])
        unchecked = "--skip-checks" in own
        own = [word for word in own if word != "--skip-checks"]
        options = self.create_parser("manage.py", "pgqueue").parse_args(own)
        handle_default_options(options)
        try:
            if arguments[:1] == ["worker"]:
                if not unchecked:
                    self.check(databases=[conf.database()])
                _become_worker(arguments[1:])
            with _environment():
                code = cli.main(_with_app(arguments), version=__version__, extra=_extra())
        except (CommandError, PgQueueError) as error:
            if options.traceback:
                raise
            self.stderr.write(str(error))
            code = Exit.WRONG_INPUT
        finally:
            with contextlib.suppress(Exception):
                connections.close_all()
        sys.exit(code)

    def add_arguments(self, parser: Any) -> None:
        """Take all there is as one."""
        parser.add_argument("arguments", nargs=REMAINDER, help="as of python -m pgqueue")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run a command line inside this process, as `call_command` does.

        Raises:
            CommandError: it did not end well.
        """
        arguments = [str(word) for word in options["arguments"]]
        with _environment(), contextlib.redirect_stdout(getattr(self.stdout, "_out", sys.stdout)):
            if arguments[:1] == ["worker"]:
                configure_queues()
            code = cli.main(_with_app(arguments), version=__version__, extra=_extra())
        if code:
            raise CommandError(f"pgqueue ended with exit code {int(code)}", returncode=int(code))


def configure_queues() -> None:
    """Write `PGQUEUE["QUEUES"]` into the database."""
    for name, words in conf.queues().items():
        default_app().queues.configure(name, **words)


def _extra() -> Any:
    """Give the commands that the program has from above this package; by its name, since it stands
    there itself."""
    return importlib.import_module("pgqueue.__main__").EXTRA


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take Django's own options out of a command line."""
    own: list[str] = []
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        takes = _DJANGOS.get(word.partition("=")[0])
        if takes is None:
            rest.append(word)
            continue
        own.append(word)
        if takes and "=" not in word and left:
            own.append(left.pop(0))
    return own, rest


def _with_app(arguments: list[str]) -> list[str]:
    if arguments[:1] != ["worker"] or any(word.startswith("--app") for word in arguments):
        return arguments
    return ["worker", "--app", _PROJECT, *arguments[1:]]


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Have the program find the project's database where it looks for one."""
    before = os.environ.get(DSN_VARIABLE)
    os.environ[DSN_VARIABLE] = connection.dsn()
    try:
        yield
    finally:
        if before is None:
            del os.environ[DSN_VARIABLE]
        else:
            os.environ[DSN_VARIABLE] = before


def _become_worker(arguments: list[str]) -> None:
    """Go on as `python -m pgqueue worker`: its supervisor holds nothing of the project, and what
    apps have started here, threads and connections, is gone.

    The process stays the same, so that whoever watches it is right about its id.
    """
    module = getattr(settings, "SETTINGS_MODULE", None)
    if module is None:
        raise CommandError(
            "a worker imports the settings by their name, and these have none; set "
            "DJANGO_SETTINGS_MODULE instead of calling settings.configure()"
        )
    configure_queues()
    os.environ[DSN_VARIABLE] = connection.dsn()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", module)
    # The program finds the project as manage.py did.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        path
        for path in dict.fromkeys(map(os.path.abspath, sys.path))
        if os.path.isdir(path) and not path.startswith((sys.prefix, sys.base_prefix))
    )
    connections.close_all()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    command = [sys.executable, "-m", "pgqueue", *_with_app(["worker", *arguments])]
    os.execv(sys.executable, command)
