"""The commands that django-q had."""
