"""Import this as a worker's application: the project is set up and its tasks are known.

`manage.py pgqueue worker` does; a service can run `python -m pgqueue worker --app
pgqueue.django.project` with DJANGO_SETTINGS_MODULE. Tasks are looked for in the module `tasks` of
every app, or in those that `PGQUEUE["AUTODISCOVER"]` names.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor

import django
from asgiref.sync import SyncToAsync
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.utils.module_loading import autodiscover_modules

from pgqueue.core.errors import ConfigurationError
from pgqueue.django import conf

if not os.environ.get("DJANGO_SETTINGS_MODULE"):
    raise ConfigurationError(
        "DJANGO_SETTINGS_MODULE must name the settings of the project; it is not set; "
        "run manage.py pgqueue worker, which sets it"
    )
django.setup()
if not apps.is_installed("pgqueue.django"):
    raise ConfigurationError("INSTALLED_APPS must name pgqueue.django; add it")
if conf.autodiscover():
    autodiscover_modules(conf.autodiscover())
_django = logging.getLogger("django")
if settings.DEBUG and _django.handlers and not logging.getLogger().handlers:
    # Django's own defaults print its records already; the worker prints all others.
    _django.propagate = False
# The thread in which coroutines use the ORM stays; its name tells it from those that tasks leave.
SyncToAsync.single_thread_executor = ThreadPoolExecutor(
    max_workers=1, thread_name_prefix="pgqueue-django"
)
# Children are forked from here: none may share a connection, or a pool of them, with another.
for _connection in connections.all(initialized_only=True):
    _connection.close()
    getattr(_connection, "close_pool", lambda: None)()
