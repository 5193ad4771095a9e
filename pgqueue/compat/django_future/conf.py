"""`PGQUEUE["DJANGO_FUTURE"]`, read anew each time; `checks` says what is wrong with it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core import checks

from pgqueue.core.errors import shown, suggest
from pgqueue.django import conf

#: Of the jobs of this facade.
QUEUE: Final = "django_future"
#: Of the names of their tasks, and of their part of `jobs.meta`.
PREFIX: Final = "django_future"

#: The keys, and what each may be; the first is the default.
CHOICES: Final[dict[str, tuple[object, ...]]] = {
    "RESCHEDULE_FROM": ("now", "scheduled"),
    "EXPIRE_BY_NOW": (True, False),
    "ONE_RUN_AT_A_TIME": (False, True),
}


def get(name: str) -> Any:
    """Give one of the settings; its default where it is wrong."""
    found = _given()
    value = found.get(name) if isinstance(found, Mapping) else None
    return value if value in CHOICES[name] else CHOICES[name][0]


def register() -> None:
    """Register the check."""
    checks.register(check_settings)


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check the setting; connects to nothing."""
    given = _given()
    if not isinstance(given, Mapping):
        return []  # pgqueue.E003 says so.
    return list(_problems(given))


def _given() -> Any:
    return conf.given().get("DJANGO_FUTURE", {})


def _problems(given: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    for name, value in given.items():
        choices = CHOICES.get(name)
        if choices is None:
            yield checks.Error(
                f'PGQUEUE["DJANGO_FUTURE"] has no key {shown(name)}{suggest(str(name), CHOICES)}',
                hint=f"Its keys are {', '.join(CHOICES)}.",
                id="django_future.E001",
            )
        elif value not in choices:
            words = " or ".join(map(repr, choices))
            yield checks.Error(
                f'PGQUEUE["DJANGO_FUTURE"][{name!r}] must be {words}; got {shown(value)}',
                hint=f"The default is {choices[0]!r}.",
                id="django_future.E002",
            )
