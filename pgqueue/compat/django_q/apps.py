"""What Django loads at its start."""

import importlib

from django.apps import AppConfig

from pgqueue.compat import alias
from pgqueue.compat.django_q import checks
from pgqueue.compat.django_q.conf import Conf


class DjangoQConfig(AppConfig):
    """The app, under the label that admin addresses, permissions and rows know."""

    name = alias.Name("pgqueue.compat.django_q")
    label = "django_q"
    default_auto_field = "django.db.models.BigAutoField"

    @property
    def verbose_name(self) -> str:
        """Give `Q_CLUSTER["label"]`."""
        return str(Conf.LABEL)

    def ready(self) -> None:
        """Let workers run its tasks, and check the setting."""
        importlib.import_module("pgqueue.compat.django_q.runner").install()
        checks.register()
