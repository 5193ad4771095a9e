"""The commands of django-async."""
