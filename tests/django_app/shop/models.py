"""What the tasks write."""

from django.db import models


class Effect(models.Model):
    """One for each job that has succeeded."""

    job = models.BigIntegerField()
    attempt = models.IntegerField()

    class Meta:
        db_table = "effects"


class Note(models.Model):
    """What hooks have said."""

    text = models.TextField()

    class Meta:
        db_table = "hook_notes"
