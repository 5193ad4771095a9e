"""`python -m pgqueue`, and the script `pgqueue`: the command line with all its commands."""

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any, Final

from pgqueue import __version__
from pgqueue.cli import main as cli
from pgqueue.cli.extra import ExtraCommand
from pgqueue.core.errors import ConfigurationError


def _demo() -> Any:
    # By name, when it is typed: it draws, and a worker is to start without what it needs for that.
    return importlib.import_module("pgqueue.demo.command")


def _migrate() -> Any:
    if importlib.util.find_spec("django") is None:
        raise ConfigurationError(
            "migrate-from needs Django, which is not installed; run it where the project runs"
        )
    return importlib.import_module("pgqueue.compat.migrating.command")


EXTRA: Final = (
    ExtraCommand(
        name="demo",
        summary="show the queue at work on a private PostgreSQL, with a worker killed half-way",
        load=_demo,
    ),
    ExtraCommand(
        name="migrate-from",
        summary="move what the tables of django-q, django-future or django-async hold into the "
        "queue",
        load=_migrate,
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; gives the exit code."""
    return cli.main(arguments, version=__version__, extra=EXTRA)


if __name__ == "__main__":
    sys.exit(main())
