"""The settings of a small Django project on the database that PGQUEUE_DSN names."""

import os

from psycopg.conninfo import conninfo_to_dict

_found = conninfo_to_dict(os.environ.get("PGQUEUE_DSN", "dbname=postgres"))

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["tests.django_app.shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _found["dbname"],
        "USER": _found.get("user", ""),
        "HOST": _found.get("host", ""),
        "PORT": _found.get("port", ""),
    },
    # Nothing is written to it. One in memory would never be closed: Django keeps those.
    "lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.devnull},
}
