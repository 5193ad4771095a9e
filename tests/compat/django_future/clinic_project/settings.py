"""The settings of a project that used django-future."""

import os

from psycopg.conninfo import conninfo_to_dict

# These two lines are new, and so is "pgqueue.django" below.
from pgqueue.compat.django_future import install_as

install_as()

_found = conninfo_to_dict(os.environ["PGQUEUE_DSN"])

SECRET_KEY = "only for tests"
USE_TZ = True
TIME_ZONE = "Europe/Vienna"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _found["dbname"],
        "USER": _found.get("user", ""),
        "HOST": _found.get("host", ""),
        "PORT": _found.get("port", ""),
    },
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "pgqueue.django",
    "django_future",
    "clinic",
]
