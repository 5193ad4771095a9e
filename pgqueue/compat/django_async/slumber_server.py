"""Where Slumber looked for what an app offers; `urls` has it."""

from pgqueue.compat.django_async.slumber_operations import Health, Progress, Schedule

__all__ = ["Health", "Progress", "Schedule"]
