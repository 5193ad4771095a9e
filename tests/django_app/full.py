"""The settings of a Django project that has the queue among its apps."""

import os

import django

os.environ.setdefault("PGQUEUE_DSN", "dbname=postgres")

from tests.django_app.settings import DATABASES as _DATABASES
from tests.django_app.settings import DEFAULT_AUTO_FIELD, SECRET_KEY, USE_TZ  # noqa: F401

DATABASES = {**_DATABASES, "other": {**_DATABASES["default"], "NAME": "postgres"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    *([] if django.VERSION >= (6,) else ["django_tasks"]),
    "pgqueue.django",
    "tests.django_app.store",
]
TASKS = {
    "default": {
        "BACKEND": "pgqueue.django.PgQueueBackend",
        "QUEUES": ["default", "mail"],
    }
}
ROOT_URLCONF = "tests.django_app.urls"
LANGUAGE_CODE = "de"
USE_I18N = True
