"""The addresses of jobs and groups, where the project has taken in `urls`."""

from typing import Any
from urllib.parse import quote

from django.urls import NoReverseMatch, reverse


def data_link(row: Any) -> str | None:
    """Give the address of a job or a group; None for none, or where it has none."""
    if row is None:
        return None
    return address(f"{row._meta.model_name}-data", row.pk)


def address(name: str, *parts: Any) -> str | None:
    """Give the address of a page of `urls`."""
    try:
        return str(reverse(f"django_async:{name}", args=parts))
    except NoReverseMatch:
        return None


def progress_link(group: Any) -> str | None:
    """Give the address of the progress of a group, which has its reference as one part."""
    found = address("group-progress", "-")
    return None if found is None else f"{found[:-2]}{quote(group.reference, '')}/"
