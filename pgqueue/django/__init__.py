"""pgqueue in a Django project. The only folder that imports Django, but for `compat`."""

from pgqueue.django.transactions import use_django_connections

__all__ = ["use_django_connections"]
