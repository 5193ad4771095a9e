"""The clusters, as programs and people look at them; under the name that it always had."""

from pgqueue.compat.django_q.monitor_terminal import get_ids, info, memory, monitor
from pgqueue.compat.django_q.status import Stat, Status

__all__ = ["Stat", "Status", "get_ids", "info", "memory", "monitor"]
