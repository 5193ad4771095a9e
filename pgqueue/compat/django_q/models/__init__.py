"""The models of django-q: what became of tasks, schedules, and the queue.

Tasks and schedules are tables of the schema pgqueue, made by its versioned SQL; the queue is a view
of the jobs that wait or run. So none is managed by Django's migrations.
"""

from pgqueue.compat.django_q.managers import FailureManager, SuccessManager
from pgqueue.compat.django_q.models.ormq import OrmQ
from pgqueue.compat.django_q.models.schedules import Schedule, validate_cron, validate_kwarg
from pgqueue.compat.django_q.models.tasks import Failure, Success, Task

__all__ = [
    "Failure",
    "FailureManager",
    "OrmQ",
    "Schedule",
    "Success",
    "SuccessManager",
    "Task",
    "validate_cron",
    "validate_kwarg",
]
