"""The facade of django-future."""
