"""What the newspaper does in the background."""

from typing import Any

from django.db.models import F
from django_async import schedule  # type: ignore[import-not-found]
from django_async.models import Group  # type: ignore[import-not-found]

from press.models import Reader  # type: ignore[import-not-found]


def publish(issue: str) -> Any:
    """Write to all readers, then archive the issue."""
    group = Group.latest_group_by_reference(f"issue {issue}")
    for pk in Reader.objects.order_by("pk").values_list("pk", flat=True):
        schedule(send, args=[pk], group=group)
    group.on_completion(schedule(archive, args=[issue]))
    return group.pk


def send(pk: int) -> str:
    """Write to one."""
    reader = Reader.objects.get(pk=pk)
    Reader.objects.filter(pk=pk).update(letters=F("letters") + 1)
    if "@" not in reader.email:
        raise ValueError("no address")
    return str(reader.email)


def archive(issue: str) -> str:
    """Put an issue away."""
    return issue


class Desk:
    """A class with a job."""

    @classmethod
    def tidy(cls, *, hard: bool = False) -> bool:
        """Tidy up."""
        return hard
