"""The replacement of django-q."""
