"""`manage.py qinfo`: how much there is, what was done lately, and how it is set up."""

from typing import Any, Final

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from pgqueue.compat.django_q import VERSION
from pgqueue.compat.django_q.conf import Conf
from pgqueue.compat.django_q.keys import ATTRIBUTES
from pgqueue.compat.django_q.monitor_terminal import get_ids, info

#: Values of these are secret, or may hold secrets.
_HIDDEN: Final = frozenset(
    {"SECRET_KEY", "REDIS", "IRON_MQ", "SQS", "MONGO", "DISQUE_AUTH", "ERROR_REPORTER"}
)


class Command(BaseCommand):
    """Print what there is."""

    help = _("General information over all clusters.")

    def add_arguments(self, parser: Any) -> None:
        """Take what it always took."""
        parser.add_argument(
            "--config",
            action="store_true",
            dest="config",
            default=False,
            help="Print current configuration.",
        )
        parser.add_argument(
            "--ids",
            action="store_true",
            dest="ids",
            default=False,
            help="Print cluster task ID(s) (PIDs).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        if options["ids"]:
            get_ids()
        elif options["config"]:
            self._config()
        else:
            info()

    def _config(self) -> None:
        self.stdout.write(f"VERSION: {'.'.join(map(str, VERSION))}")
        for name in sorted({*ATTRIBUTES, "SECRET_KEY", "Q_STAT"} - {"ALT_CLUSTERS"}):
            value = getattr(Conf, name)
            if value is not None:
                shown = "(hidden)" if name in _HIDDEN and value else value
                self.stdout.write(f"{name}: {shown}")
