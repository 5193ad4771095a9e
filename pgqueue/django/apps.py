"""What Django loads at its start: nothing that opens a connection or imports tasks."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from pgqueue.api.app import PgQueue
from pgqueue.api.default import set_default_app
from pgqueue.django import checks, framework, install, references
from pgqueue.django.connection import DjangoLender


class PgQueueConfig(AppConfig):
    """The app of the queue."""

    name = "pgqueue.django"
    label = "pgqueue"
    verbose_name = _("Job queue")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let calls without a connection of their own go over Django's."""
        set_default_app(PgQueue(lender=DjangoLender()))
        references.register()
        framework.install()
        checks.register()
        post_migrate.connect(install.after_migrate, sender=self, dispatch_uid="pgqueue")
