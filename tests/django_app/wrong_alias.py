"""A project whose queue is said to be where it cannot be."""

import os

import tests.django_app.ready  # noqa: F401
from pgqueue.django import use_django_connections

use_django_connections(os.environ["TEST_ALIAS"])
