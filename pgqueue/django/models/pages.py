"""Entries in the admin that are not a table of their own, and the permissions to see them."""

from django.utils.translation import gettext_lazy as _

from pgqueue.django.models.overviews import QueueStats
from pgqueue.django.models.positions import FinishedJob


class Dashboard(QueueStats):
    """The queues' counts, under the name of the page that shows them."""

    class Meta:
        proxy = True
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
        default_permissions = ("view",)


class Failure(FinishedJob):
    """The jobs that failed, under the name of the page that groups them."""

    class Meta:
        proxy = True
        verbose_name = _("error")
        verbose_name_plural = _("errors")
        default_permissions = ("view",)
