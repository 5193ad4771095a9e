"""Hooks: what is called with a task whenever it was saved."""

import logging
from typing import Any, Final

from django.db.models.signals import post_save

from pgqueue.compat import paths
from pgqueue.compat.django_q.models import Task

log: Final = logging.getLogger("django-q")


def connect() -> None:
    """Call hooks from now on."""
    post_save.connect(call_hook, sender=Task, dispatch_uid="pgqueue.django_q.hook")


def call_hook(sender: Any, instance: Task, **details: Any) -> None:
    """Call the hook of a task that was saved; one that cannot be called, or raises, is logged."""
    hook: Any = instance.hook
    if not hook:
        return
    try:
        found = hook if callable(hook) else paths.resolve(hook)
    except Exception as error:
        log.error("malformed return hook '%s' for [%s]: %s", hook, instance.name, error)
        return
    try:
        found(instance)
    except Exception as error:
        log.exception("return hook %s failed on [%s] because %s", hook, instance.name, error)
