"""The dashboard's entry in the admin and its permission; a view of the queues' counts."""

from django.utils.translation import gettext_lazy as _

from pgqueue.django.models.overviews import QueueStats


class Dashboard(QueueStats):
    """The queues' counts, under the name of the page that shows them."""

    class Meta:
        proxy = True
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
        default_permissions = ("view",)
