"""Who reads the newspaper."""

from django.db import models


class Reader(models.Model):
    """Somebody who gets a letter with each issue."""

    email = models.EmailField()
    letters = models.IntegerField(default=0)

    class Meta:
        app_label = "press"

    def __str__(self) -> str:
        return str(self.email)
