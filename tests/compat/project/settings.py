"""The settings of a project that came from the old libraries, on the database of PGQUEUE_DSN."""

import json
import os
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

import pgqueue

_found = conninfo_to_dict(os.environ.get("PGQUEUE_DSN", "dbname=postgres"))
_compat = Path(pgqueue.__file__).parent / "compat"

SECRET_KEY = "only for tests"
SECRET_KEY_FALLBACKS: list[str] = []
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
PGQUEUE = {"ALLOW": ["math.*"], **json.loads(os.environ.get("TEST_PGQUEUE", "{}"))}
Q_CLUSTER = json.loads(os.environ.get("TEST_Q_CLUSTER", "{}"))
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "pgqueue.django",
    *sorted(f"pgqueue.compat.{path.parent.name}" for path in _compat.glob("*/apps.py")),
    "tests.compat.project.market",
    *filter(None, os.environ.get("TEST_APPS", "").split(",")),
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.compat.project.urls"
LANGUAGE_CODE = "en"
