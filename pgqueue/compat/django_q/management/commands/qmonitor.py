"""`manage.py qmonitor`: the clusters, drawn anew each second."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from pgqueue.compat.django_q.monitor_terminal import monitor


class Command(BaseCommand):
    """Show the clusters."""

    help = _("Monitors Q Cluster activity")

    def add_arguments(self, parser: Any) -> None:
        """Take what it always took."""
        parser.add_argument(
            "--run-once",
            action="store_true",
            dest="run_once",
            default=False,
            help="Run once and then stop.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Show them."""
        monitor(run_once=options["run_once"])
