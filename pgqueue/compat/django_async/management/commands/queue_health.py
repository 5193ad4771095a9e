"""`manage.py queue_health`: how the queue is, as JSON."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pgqueue.compat.django_async.api import health
from pgqueue.compat.django_async.plain import dumps
from pgqueue.compat.django_async.stats import (
    estimate_queue_completion,
    estimate_rough_queue_completion,
)

_ALGORITHMS = {
    "rough": estimate_rough_queue_completion,
    "precise": estimate_queue_completion,
    None: estimate_queue_completion,
}


class Command(BaseCommand):
    """Print what `health()` tells."""

    help = "Prints information about the queue in JSON format."

    def add_arguments(self, parser: Any) -> None:
        """Take the option."""
        parser.add_argument(
            "--algorithm",
            "-a",
            dest="algorithm",
            help="The algorithm for queue estimation. Options: rough, precise (default)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        try:
            estimation_fn = _ALGORITHMS[options.get("algorithm") or None]
        except KeyError:
            raise CommandError("Unknown option for estimation algorithm") from None
        self.stdout.write(str(dumps(health(estimation_fn))))
