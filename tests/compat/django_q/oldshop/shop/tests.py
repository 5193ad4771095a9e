"""The tests of the shop, as they were written for django-q; none was changed by moving."""

# ruff: noqa: PT009, PT027

import datetime
import importlib
from multiprocessing import Event
from unittest import mock
from uuid import uuid4

from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.test import TestCase, TransactionTestCase
from django.urls import reverse
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.cluster import Cluster, Sentinel
from django_q.conf import Conf
from django_q.models import Failure, OrmQ, Schedule, Success, Task
from django_q.signals import pre_enqueue
from django_q.tasks import AsyncTask, async_iter, async_task, fetch, queue_size, result, schedule

from shop import tasks
from shop.models import Order


def run_queue(broker=None):
    """Let a cluster run what is in the queue, in this process."""
    start, stop = Event(), Event()
    stop.set()
    Sentinel(stop, start, cluster_id=uuid4(), broker=broker or get_broker())


class MockedTests(TestCase):
    """Without any queue."""

    @mock.patch("shop.views.async_task", return_value="abc")
    def test_the_view_enqueues(self, enqueued):
        order = Order.objects.create(number="a1")
        answer = self.client.get(reverse("ship", args=[order.pk]))
        self.assertEqual(answer.json(), {"task": "abc"})
        enqueued.assert_called_once_with(
            "shop.tasks.ship", order, hook="shop.tasks.shipped", group="shipping"
        )

    def test_signals_can_change_a_task(self):
        def mark(sender, task, **kwargs):
            task["group"] = f"{sender}-marked"

        pre_enqueue.connect(mark)
        self.addCleanup(pre_enqueue.disconnect, mark)
        async_task("math.floor", 1.5)
        self.assertEqual(OrmQ.objects.get().group(), "django_q-marked")


class SyncTests(TestCase):
    """With Q_CLUSTER["sync"]."""

    def setUp(self):
        patch = mock.patch.object(Conf, "SYNC", True)
        patch.start()
        self.addCleanup(patch.stop)

    def test_shipping(self):
        order = Order.objects.create(number="a1")
        task_id = self.client.get(reverse("ship", args=[order.pk])).json()["task"]
        order.refresh_from_db()
        self.assertTrue(order.shipped)
        self.assertEqual([m.subject for m in mail.outbox], ["Thank you", "On its way"])
        answer = self.client.get(reverse("progress", args=[task_id]))
        self.assertEqual(
            answer.json(), {"state": "done", "result": {"order": "a1", "carrier": "post"}}
        )

    def test_a_task_that_raises(self):
        order = Order.objects.create(number="a1")
        with self.assertRaises(tasks.OutOfStock):
            async_task("shop.tasks.ship", order, fail=True)
        self.assertFalse(Task.objects.exists())

    def test_iterables(self):
        self.assertEqual(result(async_iter("math.floor", [1.5, 2.5])), [1, 2])

    def test_an_object(self):
        task = AsyncTask("math.floor", 1.5, group="math")
        task.run()
        self.assertEqual((task.result(), task.result_group()[0]), (1, 1))
        task.args = (2.5,)
        self.assertIsNone(task.result())


class QueueTests(TestCase):
    """With the queue of the ORM, which a cluster in this process works off."""

    def test_what_is_queued(self):
        order = Order.objects.create(number="a1")
        task_id = async_task(tasks.ship, order, carrier="bike", group="shipping")
        self.assertEqual(queue_size(), 2)
        self.assertEqual(OrmQ.objects.count(), 2)
        queued = OrmQ.objects.order_by("id").last()
        self.assertEqual(
            (queued.key, queued.task_id(), queued.func(), queued.group(), queued.args()),
            ("shop", task_id, "shop.tasks.ship", "shipping", (order,)),
        )
        self.assertEqual(queued.kwargs(), {"carrier": "bike"})
        self.assertEqual(queued.task["args"], (order,))

    def test_a_cluster_works_it_off(self):
        first, _second = (Order.objects.create(number=number) for number in ("a1", "a2"))
        tasks.ship_all("today")
        async_task("shop.tasks.ship", first, fail=True, task_name="bad", hook="shop.tasks.shipped")
        run_queue()
        run_queue()
        self.assertEqual(queue_size(), 0)
        self.assertEqual(tasks.report("today"), 4)
        self.assertEqual(Order.objects.filter(shipped=True).count(), 2)
        self.assertFalse(fetch("thank-a1"))
        failed = Failure.objects.get()
        self.assertEqual((failed.name, failed.args, failed.attempt_count), ("bad", (first,), 1))
        self.assertTrue(failed.result.startswith("a1 : Traceback"))
        self.assertEqual(
            sorted(m.subject for m in mail.outbox),
            [
                "Not shipped",
                "On its way",
                "On its way",
                "Thank you",
                "Thank you",
            ],
        )
        self.assertGreater(Success.objects.first().time_taken(), 0)
        self.assertEqual(Task.get_group_count("today"), 4)
        Success.objects.all().delete()
        self.assertEqual(Task.objects.get(), Task.objects.get(pk=failed.pk))

    def test_another_queue(self):
        task_id = async_task("math.floor", 1.5, cluster="long")
        run_queue()
        self.assertIsNone(result(task_id))
        run_queue(get_broker("long"))
        self.assertEqual(result(task_id), 1)

    def test_purging(self):
        async_task("math.floor", 1.5)
        call_command("qinfo", ids=True)
        get_broker().purge_queue()
        self.assertFalse(OrmQ.objects.exists())


class ScheduleTests(TestCase):
    """Schedules, by code, by a migration, by a fixture."""

    fixtures = ("schedules.json",)

    def test_the_one_of_the_migration(self):
        nightly = Schedule.objects.get(name="nightly")
        self.assertEqual(nightly.schedule_type, Schedule.DAILY)
        Order.objects.create(number="a1")
        before = nightly.next_run
        run_queue()
        run_queue()
        nightly.refresh_from_db()
        # By the clock on the wall, on the days on which that is set as well.
        after, before = (timezone.make_naive(at) for at in (nightly.next_run, before))
        self.assertEqual(after - before, datetime.timedelta(days=1))
        self.assertTrue(nightly.success())
        self.assertEqual(fetch(nightly.task).group, "nightly")
        self.assertTrue(Order.objects.get().shipped)

    def test_those_of_the_fixture(self):
        self.assertEqual(Schedule.objects.get(pk=700).args, "1.5")
        self.assertEqual(Success.objects.get().time_taken(), 5)
        new = schedule("math.floor", 2.5, schedule_type=Schedule.HOURLY)
        self.assertGreater(new.pk, 700)

    def test_a_reminder(self):
        Schedule.objects.all().delete()
        order = Order.objects.create(number="a1")
        tasks.remind(order.pk, timezone.now() + datetime.timedelta(days=1))
        reminder = Schedule.objects.get(name=f"remind-{order.pk}")
        run_queue()
        self.assertEqual(len(mail.outbox), 1)
        Schedule.objects.filter(pk=reminder.pk).update(next_run=timezone.now())
        run_queue()
        run_queue()
        self.assertEqual(len(mail.outbox), 2)
        self.assertFalse(Schedule.objects.filter(pk=reminder.pk).exists())


class AdminTests(TestCase):
    """The pages."""

    def test_resubmitting(self):
        self.client.force_login(User.objects.create_superuser("root"))
        order = Order.objects.create(number="a1")
        now = timezone.now()
        failure = Failure.objects.create(
            id=uuid4().hex,
            name="bad",
            func="shop.tasks.ship",
            args=(order,),
            kwargs={},
            started=now,
            stopped=now,
            success=False,
            result="out of stock",
        )
        page = reverse("admin:django_q_failure_changelist")
        self.assertContains(self.client.get(page), "out of stock")
        link = reverse("admin:django_q_failure_change", args=[failure.pk])
        self.assertEqual(self.client.get(link).status_code, 200)
        self.client.post(page, {"action": "resubmit_task", "_selected_action": [failure.pk]})
        self.assertFalse(Failure.objects.exists())
        run_queue()
        order.refresh_from_db()
        self.assertTrue(order.shipped)


class ClusterTests(TransactionTestCase):
    """With a real cluster, in processes of its own, on the database of the test."""

    def test_a_cluster(self):
        [order] = Order.objects.bulk_create([Order(number="a1")])
        task_id = async_task("shop.tasks.ship", order)
        cluster = Cluster()
        cluster.start()
        try:
            self.assertEqual(result(task_id, wait=60_000)["order"], "a1")
        finally:
            cluster.stop()

    def test_tests_do_not_see_what_others_left(self):
        self.assertFalse(Task.objects.exists())
        self.assertFalse(OrmQ.objects.exists())
        self.assertIs(importlib.import_module("pgqueue.compat.django_q.models").Task, Task)
