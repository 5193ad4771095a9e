"""What a shop has."""

import uuid

from django.db import models


class Order(models.Model):
    """An order, by number."""

    total = models.IntegerField(default=0)
    paid = models.BooleanField(default=False)


class Parcel(models.Model):
    """A parcel, by a key that the application makes."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    order = models.ForeignKey(Order, models.CASCADE, null=True)


class Hidden(models.Model):
    """A row that its manager does not show."""

    class Unseen(models.Manager):
        """Show nothing."""

        def get_queryset(self):
            return super().get_queryset().none()

    code = models.CharField(max_length=20, primary_key=True)
    objects = Unseen()
