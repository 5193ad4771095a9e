"""What Django loads at its start: nothing that opens a connection or imports handlers."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from pgqueue.compat import alias, pickles, retention, serving
from pgqueue.compat.django_future import conf, running


class DjangoFutureConfig(AppConfig):
    """The app, under the label that admin addresses, permissions and rows know."""

    name = alias.Name("pgqueue.compat.django_future")
    label = "django_future"
    verbose_name = _("Django future")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let workers run its jobs, each in a transaction of its own."""
        pickles.register()
        serving.serve(conf.PREFIX, running.run, atomic=True)
        conf.register()
        post_migrate.connect(_after_migrate, sender=self, dispatch_uid="pgqueue.django_future")


def _after_migrate(using: str, **details: Any) -> None:
    retention.keep(using, conf.QUEUE, details)
