"""The API of django-q and django-q2 on pgqueue; put `pgqueue.compat.django_q` into INSTALLED_APPS.

The modules have the names that they always had: `tasks`, `models`, `signals`, `conf` …
"""

from pgqueue.compat import alias

#: Of the API that is served.
VERSION = (1, 11, 1)

__all__ = ["VERSION", "install_as"]


def install_as(name: str = "django_q") -> None:
    """Let this package be imported by its old name: `import django_q.tasks` gives its modules.

    Call it at the top of the settings; then INSTALLED_APPS may have the old name too.

    Raises:
        ConfigurationError: something else was imported by this name already.
    """
    alias.install(__name__, name)
