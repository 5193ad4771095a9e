"""`manage.py runscheduledjobs`: run the jobs that are due, and end."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pgqueue.compat.django_future.jobs import JobsInProgressError, run_jobs


class Command(BaseCommand):
    """Run the jobs that are due."""

    help = "Executes any outstanding scheduled jobs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "-d", "--delete-completed", action="store_true",
            help="Do not keep entries for completed jobs in the database.",
        )  # fmt: skip
        parser.add_argument(
            "-i", "--ignore-errors", action="store_true",
            help="Do not abort if a job handler raises an error.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        """Run them."""
        try:
            run_jobs(
                delete_completed=bool(options["delete_completed"]),
                ignore_errors=bool(options["ignore_errors"]),
            )
        except JobsInProgressError as error:
            raise CommandError(str(error)) from error
