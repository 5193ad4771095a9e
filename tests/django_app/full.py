"""The settings of a Django project that has the queue among its apps."""

import json
import os

import django

from tests.django_app.settings import DATABASES as _DATABASES
from tests.django_app.settings import DEFAULT_AUTO_FIELD, SECRET_KEY, USE_TZ  # noqa: F401

_default = {
    **_DATABASES["default"],
    "CONN_MAX_AGE": int(os.environ.get("TEST_CONN_MAX_AGE", "0")),
    "CONN_HEALTH_CHECKS": "TEST_HEALTH" in os.environ,
    "OPTIONS": {"pool": {"min_size": 1, "max_size": 1}} if "TEST_POOL" in os.environ else {},
}
DATABASES = {**_DATABASES, "default": _default, "other": {**_default, "NAME": "postgres"}}
PGQUEUE = json.loads(os.environ.get("TEST_PGQUEUE", "{}"))
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *([] if django.VERSION >= (6,) else ["django_tasks"]),
    "pgqueue.django",
    "tests.django_app.store",
    *filter(None, os.environ.get("TEST_APPS", "").split(",")),
]
TASKS = {
    "default": {
        "BACKEND": "pgqueue.django.PgQueueBackend",
        "QUEUES": ["default", "mail"],
    }
}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
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
STATIC_URL = "static/"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.django_app.urls"
LANGUAGE_CODE = "de"
USE_I18N = True
