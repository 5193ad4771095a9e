"""What Django loads at its start."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from pgqueue.compat.django_async import running
from pgqueue.django import conf, install

# The old tables kept a job until somebody deleted it.
_KEEP = """
INSERT INTO pgqueue.queues (name, retention_succeeded, retention_other)
VALUES (%s, '100 years', '100 years')
ON CONFLICT (name) DO UPDATE SET
    retention_succeeded = coalesce(queues.retention_succeeded, excluded.retention_succeeded),
    retention_other = coalesce(queues.retention_other, excluded.retention_other)
"""


class AsyncConfig(AppConfig):
    """The app; its label is the one that permissions and addresses of the admin have."""

    name = "pgqueue.compat.django_async"
    label = "async"
    verbose_name = _("Async")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let workers find its jobs."""
        running.install()
        post_migrate.connect(_keep_jobs, sender=self, dispatch_uid="pgqueue.compat.django_async")


def _keep_jobs(using: str, **details: Any) -> None:
    """Keep what is over until `remove_old_jobs` deletes it, unless the settings say otherwise."""
    connection = connections[using]
    if (
        "plan" in details
        and install.is_ours(connection)
        and running.QUEUE not in conf.queues()
        and install.is_installed(connection)
    ):
        with connection.cursor() as cursor:
            cursor.execute(_KEEP, [running.QUEUE])
