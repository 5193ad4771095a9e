"""The API of django-future on pgqueue; put `pgqueue.compat.django_future` into INSTALLED_APPS.

from pgqueue.compat.django_future import job_as_parameter, schedule_job

The modules have the names that they always had: `models`, `utils`, `admin`, and `jobs`. What is
named here is imported when it is first asked for, since this package is imported before models may
be.
"""

import importlib
from typing import Any, Final

from pgqueue.compat import alias

_PLACES: Final = {
    "STICKY_JOBS": "marks",
    "ScheduledJob": "models",
    "expire_jobs": "jobs",
    "import_app_jobs": "jobs",
    "job_as_parameter": "marks",
    "parse_timedelta": "utils",
    "run_jobs": "jobs",
    "schedule_job": "jobs",
    "schedule_sticky_jobs": "jobs",
    "start_scheduled_jobs": "jobs",
    "sticky_job": "marks",
}

__all__ = [
    "STICKY_JOBS",
    "ScheduledJob",
    "expire_jobs",
    "import_app_jobs",
    "install_as",
    "job_as_parameter",
    "parse_timedelta",
    "run_jobs",
    "schedule_job",
    "schedule_sticky_jobs",
    "start_scheduled_jobs",
    "sticky_job",
]


def install_as(name: str = "django_future") -> None:
    """Let this package be imported by its old name: `from django_future import schedule_job`.

    Call it at the top of the settings; then INSTALLED_APPS may have the old name too.

    Raises:
        ConfigurationError: something else was imported by this name already.
    """
    alias.install(__name__, name)


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
