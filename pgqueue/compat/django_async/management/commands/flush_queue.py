"""`manage.py flush_queue`: one pass over the queue, in this process."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pgqueue.compat import here
from pgqueue.compat.django_async import due, running
from pgqueue.compat.django_async.models import Job
from pgqueue.core.errors import shown


@contextlib.contextmanager
def acquire_lock(name: str) -> Iterator[bool]:
    """Hold a file in the current directory; gives whether nobody else does.

    It ends with the process, and a directory that cannot be written to needs none: two that run at
    once never run the same job.
    """
    try:
        number = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield True
        return
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            with contextlib.suppress(OSError):
                os.unlink(f"{name}.lock")
    finally:
        os.close(number)


def _number(options: Mapping[str, Any], name: str, usual: int, least: int = 0) -> int:
    given = options.get(name)
    try:
        found = int(given or usual)
    except (TypeError, ValueError):
        found = least - 1
    if found < least:
        raise CommandError(f"--{name} must be a whole number, at least {least}; got {shown(given)}")
    return found


class Command(BaseCommand):
    """Run the jobs that are due, each in a transaction, until there are none or one fails."""

    help = "Does a single pass over the asynchronous queue"

    def add_arguments(self, parser: Any) -> None:
        """Take the options."""
        parser.add_argument(
            "--jobs", "-j", dest="jobs", help="The maximum number of jobs to run (300)"
        )
        parser.add_argument("--which", "-w", dest="which", help="The worker ID number (0)")
        parser.add_argument("--outof", "-o", dest="outof", help="How many workers there are (1)")
        parser.add_argument(
            "--filter", "-f", dest="filter", help="Filter jobs by fully qualified name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the pass."""
        which = _number(options, "which", 0)
        outof = _number(options, "outof", 1, least=1)
        limit = _number(options, "jobs", 300)
        with acquire_lock(f"async_flush_queue{which}") as is_ours:
            if not is_ours:
                self.stdout.write("Lock is already set, aborting.")
                return
            self.run_queue(which, outof, limit, str(options.get("filter") or ""))

    def run_queue(self, which: int, outof: int, limit: int, name_filter: str) -> None:
        """Run so many jobs; raises what one raises."""

        def tell(ticket: Any) -> None:
            self.stdout.write(f"{ticket.job_id}: {Job.objects.get(pk=ticket.job_id)}")
            self.stdout.flush()

        jobs = due.Pass(which, outof, limit, name_filter)
        ran = here.run(
            [running.QUEUE], ids=jobs, limit=limit, stop_at_error=True, before=tell,
            after=lambda _ran: jobs.note(),
        )  # fmt: skip
        if ran and ran[-1].error is not None:
            raise ran[-1].error
        if len(ran) < limit:
            self.stdout.write("No jobs to execute")
