"""The tasks that this process knows, for the pages: what is offered, checked and hidden.

A process that serves pages need not have imported the tasks of the project. So they are looked for
once, when a page first asks, as a worker does at its start.
"""

import importlib
import logging
import threading
from typing import Final

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from pgqueue.api.decorating import registry
from pgqueue.api.registry import Registry
from pgqueue.django import conf

_log: Final = logging.getLogger("pgqueue.django")
_lock: Final = threading.Lock()
_looked: Final[set[str]] = set()


def known_tasks() -> Registry:
    """Give the tasks, those of every app's module of tasks among them.

    A module that cannot be imported is logged and costs the page nothing.
    """
    name = conf.autodiscover()
    if name and name not in _looked:
        with _lock:
            if name not in _looked:
                for app in apps.get_app_configs():
                    _import(app.module, name)
                _looked.add(name)
    return registry


def _import(package: object, name: str) -> None:
    path = f"{getattr(package, '__name__', '')}.{name}"
    try:
        if module_has_submodule(package, name):
            importlib.import_module(path)
    except Exception as error:
        _log.warning("the tasks of %s cannot be imported: %s", path, error, exc_info=error)
