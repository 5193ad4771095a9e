"""Import this first: then Django is ready for models."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_app.settings")
django.setup()
