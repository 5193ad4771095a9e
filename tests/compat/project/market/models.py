"""What the jobs of the tests are about."""

from typing import Any, ClassVar

from django.db import models


class Order(models.Model):
    """An order."""

    number = models.CharField(max_length=20)
    paid = models.BooleanField(default=False)

    class Meta:
        app_label = "market"
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return self.number

    def pay(self) -> str:
        """Pay it."""
        self.paid = True
        self.save()
        return f"{self.number} is paid"

    def told(self, job: Any) -> str:
        """Say which job called."""
        return f"{self.number} by {job.pk}"

    told.job_as_parameter = True  # type: ignore[attr-defined]

    def _hidden(self) -> None:
        """Not for jobs."""
