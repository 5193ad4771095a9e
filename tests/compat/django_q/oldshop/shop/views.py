"""The pages of the shop."""

from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django_q.tasks import async_task, fetch

from shop.models import Order


def ship(request, pk):
    """Have an order shipped."""
    order = get_object_or_404(Order, pk=pk)
    task_id = async_task("shop.tasks.ship", order, hook="shop.tasks.shipped", group="shipping")
    return JsonResponse({"task": task_id})


def progress(request, task_id):
    """Tell what became of a task."""
    task = fetch(task_id)
    if task is None:
        return JsonResponse({"state": "waiting"})
    return JsonResponse({"state": "done" if task.success else "failed", "result": task.result})
