"""What the cluster does for the shop."""

from django.core.mail import send_mail
from django_q.tasks import async_task, fetch_group, schedule

from shop.models import Order


class OutOfStock(Exception):
    """There is none left."""


def thank(pk):
    """Thank for an order."""
    order = Order.objects.get(pk=pk)
    send_mail("Thank you", order.number, "shop@example.com", [order.email])


def ship(order, carrier="post", fail=False):
    """Ship an order."""
    if fail:
        raise OutOfStock(order.number)
    order.shipped = True
    order.save()
    return {"order": order.number, "carrier": carrier}


def shipped(task):
    """Tell that an order is on its way; the hook of `ship`."""
    if task.success:
        async_task(
            "django.core.mail.send_mail",
            "On its way",
            task.result["carrier"],
            "shop@example.com",
            [task.args[0].email],
            group=task.group,
        )
    else:
        send_mail("Not shipped", task.result, "shop@example.com", ["boss@example.com"])


def ship_all(group):
    """Ship what was not shipped."""
    for order in Order.objects.filter(shipped=False):
        async_task(ship, order, group=group, hook=shipped)


def report(group):
    """Count what was shipped in a group."""
    return len(fetch_group(group, failures=False) or [])


def remind(pk, when):
    """Thank once more, later."""
    schedule("shop.tasks.thank", pk, schedule_type="O", next_run=when, name=f"remind-{pk}")
