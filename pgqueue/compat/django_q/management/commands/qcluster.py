"""`manage.py qcluster`: an ordinary worker for the queue of one cluster."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections, transaction
from django.utils.translation import gettext as _

from pgqueue.compat.django_q import launching, scheduler
from pgqueue.compat.django_q.cluster import Cluster
from pgqueue.compat.django_q.conf import NAME_VARIABLE, Conf
from pgqueue.django import conf
from pgqueue.django.management.commands.pgqueue import configure_queues


class Command(BaseCommand):
    """Run the tasks of one cluster."""

    help = _("Starts a Django Q Cluster.")

    def add_arguments(self, parser: Any) -> None:
        """Take what it always took."""
        parser.add_argument(
            "--run-once",
            action="store_true",
            dest="run_once",
            default=False,
            help="Run what is ready and then stop.",
        )
        parser.add_argument(
            "-n",
            "--name",
            dest="cluster_name",
            default=None,
            help="Set alternative cluster name instead of the name in Q_CLUSTER settings (for "
            "multi-queue setup).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Become a worker; from `call_command`, run one beside this process and wait for it."""
        burst = bool(options["run_once"])
        with _named(options["cluster_name"]):
            try:
                # What packages are signed with; Django says what is wrong when there is none.
                _ = settings.SECRET_KEY
                words = launching.words(burst=burst)
                environment = launching.environment()
            except ImproperlyConfigured as error:
                raise CommandError(str(error)) from error
            configure_queues()
            _rearm()
            if self._called_from_command_line:
                _become(words, environment)
            _run_beside(burst=burst)


@contextlib.contextmanager
def _named(cluster: str | None) -> Iterator[None]:
    """Let Q_CLUSTER be read as it is for a cluster."""
    before = os.environ.get(NAME_VARIABLE)
    if cluster:
        os.environ[NAME_VARIABLE] = cluster
    try:
        yield
    finally:
        if cluster:
            del os.environ[NAME_VARIABLE]
        if before is not None:
            os.environ[NAME_VARIABLE] = before


def _rearm() -> None:
    """Give schedules their waiting job back; those of the first cluster come along with its name.

    A database that refuses is the worker's to tell of.
    """
    if not Conf.SCHEDULER or Conf.CLUSTER_NAME != Conf.PREFIX:
        return
    with contextlib.suppress(DatabaseError), transaction.atomic(using=conf.database()):
        scheduler.rearm(Conf.PREFIX)


def _become(words: list[str], environment: dict[str, str]) -> None:
    """Go on as `python -m pgqueue worker`; the process stays the same."""
    connections.close_all()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execve(sys.executable, [sys.executable, "-m", "pgqueue", "worker", *words], environment)


def _run_beside(*, burst: bool) -> None:
    """Run a worker until it ends."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    cluster = Cluster(burst=burst)
    try:
        cluster.start()
        while cluster.sentinel is not None and cluster.sentinel.is_alive():
            cluster.sentinel.join(1.0)
    except RuntimeError as error:
        raise CommandError(str(error)) from error
    finally:
        cluster.stop()
        for number, handler in before.items():
            with contextlib.suppress(ValueError):  # Not in the main thread: nothing was changed.
                signal.signal(number, handler)
