"""What the shop sells."""

from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver
from django_q.tasks import async_task


class Order(models.Model):
    """An order."""

    number = models.CharField(max_length=20)
    email = models.EmailField(default="ann@example.com")
    shipped = models.BooleanField(default=False)

    def __str__(self):
        return self.number


@receiver(post_save, sender=Order)
def thank(sender, instance, created, **kwargs):
    """Thank for a new order."""
    if created:
        async_task(
            "shop.tasks.thank", instance.pk, task_name=f"thank-{instance.number}", save=False
        )
