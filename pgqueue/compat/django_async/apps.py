"""What Django loads at its start."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from pgqueue.compat import alias, retention
from pgqueue.compat.django_async import running


class AsyncConfig(AppConfig):
    """The app; its label is the one that permissions and addresses of the admin have."""

    name = alias.Name("pgqueue.compat.django_async")
    label = "async"
    verbose_name = _("Async")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let workers find its jobs."""
        running.install()
        post_migrate.connect(_keep_jobs, sender=self, dispatch_uid="pgqueue.compat.django_async")


def _keep_jobs(using: str, **details: Any) -> None:
    # What is over stays until `remove_old_jobs` deletes it.
    retention.keep(using, running.QUEUE, details)
