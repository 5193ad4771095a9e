"""The setting PGQUEUE of a Django project, read anew each time: `override_settings` works.

Values are checked by `checks`, so that `manage.py check` says what is wrong; here a wrong one falls
back to its default.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

#: The keys of PGQUEUE and their defaults.
DEFAULTS: Final[dict[str, Any]] = {
    "DATABASE": DEFAULT_DB_ALIAS,
    "AUTODISCOVER": "tasks",
    "QUEUES": {},
    "MISSING_OBJECTS": "fail",
    "REDACT": ("password", "passwd", "secret", "token", "api_key", "apikey", "authorization"),
    "ALLOW": (),
    "PICKLE": True,
    "DJANGO_FUTURE": {},
}
#: What may become of a job whose argument stands for a row that is gone.
MISSING_OBJECTS: Final = ("fail", "cancel", "none")


def given() -> Mapping[str, Any]:
    """Give the setting as it stands; empty where there is none."""
    found = getattr(settings, "PGQUEUE", None)
    return found if isinstance(found, Mapping) else {}


def database() -> str:
    """Give the alias of the database that holds the queue."""
    found = given().get("DATABASE")
    return found if isinstance(found, str) and found else DEFAULT_DB_ALIAS


def autodiscover() -> str:
    """Give the name of the modules that a worker looks for in every app; empty for none."""
    found = given().get("AUTODISCOVER", DEFAULTS["AUTODISCOVER"])
    return found if isinstance(found, str) else ""


def queues() -> Mapping[str, Any]:
    """Give the settings of queues, by name."""
    found = given().get("QUEUES")
    return found if isinstance(found, Mapping) else {}


def missing_objects() -> str:
    """Give what becomes of a job whose argument stands for a row that is gone."""
    found = given().get("MISSING_OBJECTS")
    return found if found in MISSING_OBJECTS else "fail"


def redact() -> tuple[str, ...]:
    """Give the parts of names whose values the admin does not show, in lower case."""
    found = given().get("REDACT", DEFAULTS["REDACT"])
    if not isinstance(found, Sequence) or isinstance(found, str):
        found = DEFAULTS["REDACT"]
    return tuple(str(part).lower() for part in found if part)


def allow() -> tuple[str, ...]:
    """Give the paths that jobs of `pgqueue.compat` may name beside those of the project's apps."""
    found = given().get("ALLOW", ())
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(entry for entry in found if isinstance(entry, str))


def pickle() -> bool:
    """Tell whether jobs of `pgqueue.compat` may have signed pickles among their arguments."""
    return given().get("PICKLE", True) is True
