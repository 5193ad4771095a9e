"""`manage.py qmemory`: the memory of the clusters of this machine, drawn anew each second."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from pgqueue.compat.django_q.monitor_terminal import memory


class Command(BaseCommand):
    """Show what memory the clusters use."""

    help = _("Monitors Q Cluster memory usage")

    def add_arguments(self, parser: Any) -> None:
        """Take what it always took."""
        parser.add_argument(
            "--run-once",
            action="store_true",
            dest="run_once",
            default=False,
            help="Run once and then stop.",
        )
        parser.add_argument(
            "--workers",
            action="store_true",
            dest="workers",
            default=False,
            help="Show each worker's memory usage.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Show it."""
        memory(run_once=options["run_once"], workers=options["workers"])
