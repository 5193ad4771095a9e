"""The pages of the admin: one module a page. Imported by the admin of Django only.

Nothing here changes a table: what a page does, it does by the functions of the queue. Every page
reads a bounded number of rows with a fixed number of queries, and every value is escaped.
"""

from django.contrib import admin

from pgqueue.django import models
from pgqueue.django.admin.dashboard import DashboardAdmin
from pgqueue.django.admin.errors import ErrorAdmin
from pgqueue.django.admin.groups import GroupAdmin
from pgqueue.django.admin.jobs import JobAdmin
from pgqueue.django.admin.queues import QueueAdmin
from pgqueue.django.admin.schedules import ScheduleAdmin
from pgqueue.django.admin.workers import WorkerAdmin

__all__ = [
    "DashboardAdmin",
    "ErrorAdmin",
    "GroupAdmin",
    "JobAdmin",
    "QueueAdmin",
    "ScheduleAdmin",
    "WorkerAdmin",
]

admin.site.register(models.Dashboard, DashboardAdmin)
admin.site.register(models.Failure, ErrorAdmin)
admin.site.register(models.Group, GroupAdmin)
admin.site.register(models.Job, JobAdmin)
admin.site.register(models.Queue, QueueAdmin)
admin.site.register(models.Schedule, ScheduleAdmin)
admin.site.register(models.Worker, WorkerAdmin)
