"""The settings of a project that used django-q; what moving has changed is marked."""

import os

from psycopg.conninfo import conninfo_to_dict

from pgqueue.compat.django_q import install_as  # new

install_as("django_q")  # new

_found = conninfo_to_dict(os.environ["PGQUEUE_DSN"])

SECRET_KEY = "only for tests"
USE_TZ = True
TIME_ZONE = "Europe/Amsterdam"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "pgqueue.django",  # new
    "django_q",
    "shop",
]
PGQUEUE = {"ALLOW": ["math.*", "django.core.mail.send_mail"]}  # new
Q_CLUSTER = {
    "name": "shop",
    "workers": 1,
    "timeout": 60,
    "retry": 120,
    "max_attempts": 1,
    "save_limit": 100,
    "orm": "default",
    "ALT_CLUSTERS": {"long": {"timeout": 3000, "retry": 3600}},
}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _found["dbname"],
        "USER": _found.get("user", ""),
        "HOST": _found.get("host", ""),
        "PORT": _found.get("port", ""),
        "TEST": {"NAME": f"oldshop_{_found['dbname']}"},
    }
}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
STATIC_URL = "static/"
