"""The API of django-q and django-q2 on pgqueue; put `pgqueue.compat.django_q` into INSTALLED_APPS.

The modules have the names that they always had: `tasks`, `models`, `signals`, `conf` …
"""

#: Of the API that is served.
VERSION = (1, 11, 1)

__all__ = ["VERSION"]
