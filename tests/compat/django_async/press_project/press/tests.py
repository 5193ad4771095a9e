# ruff: noqa: PT009, PT027
"""The project's own tests, as they were with the old library, but for the name of the package."""

import datetime
import json
from importlib import import_module
from unittest.mock import patch

import django_async
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import TestCase, TransactionTestCase
from django.urls import reverse
from django.utils import timezone
from django_async.api import deschedule, health, remove_old_jobs
from django_async.helpers import clear_queue
from django_async.models import Error, Group, Job
from django_async.stats import estimate_queue_completion

from press.jobs import Desk, archive, publish, send
from press.models import Reader


class PublishTests(TestCase):
    def setUp(self):
        for name in ("ann", "bob"):
            Reader.objects.create(email=f"{name}@press.test")

    def test_letters_are_sent_then_the_issue_is_archived(self):
        job = django_async.schedule(publish, args=["7"])
        call_command("flush_queue")
        group = Group.objects.get(reference="issue 7")
        self.assertTrue(group.has_completed())
        self.assertEqual(Job.objects.get(pk=job.pk).result, str(group.pk))
        last = group.latest_executed_job()
        self.assertEqual((last.name, last.result), ("press.jobs.archive", '"7"'))
        self.assertEqual(last, group.final)
        self.assertEqual(list(Reader.objects.values_list("letters", flat=True)), [1, 1])
        self.assertEqual(Job.objects.filter(executed=None).count(), 0)

    def test_a_second_issue_of_the_same_number_gets_a_group_of_its_own(self):
        first = publish("7")
        with self.assertRaises(ValidationError):
            Group.objects.create(reference="issue 7")
        call_command("flush_queue")
        self.assertNotEqual(publish("7"), first)

    def test_an_issue_is_withdrawn(self):
        publish("7")
        deschedule("press.jobs.archive", args=["7"])
        deschedule(send, args=[Reader.objects.first().pk])
        call_command("flush_queue")
        self.assertEqual(Job.objects.exclude(cancelled=None).count(), 2)
        self.assertEqual(Job.objects.exclude(executed=None).count(), 1)

    def test_a_bad_address(self):
        bad = Reader.objects.create(email="nobody")
        job = django_async.schedule(send, args=[bad.pk])
        with self.assertRaises(ValueError):
            call_command("flush_queue")
        job = Job.objects.get(pk=job.pk)
        self.assertEqual((job.priority, job.executed), (4, None))
        self.assertGreater(job.scheduled, timezone.now())
        self.assertEqual(job.errors.get().exception, "ValueError('no address')")
        bad.refresh_from_db()
        self.assertEqual(bad.letters, 0)

    def test_a_letter_of_later(self):
        tomorrow = timezone.now() + datetime.timedelta(days=1)
        job = django_async.schedule(archive, args=["8"], run_after=tomorrow, priority=9)
        call_command("flush_queue")
        self.assertIsNone(Job.objects.get(pk=job.pk).executed)
        job.scheduled = None
        job.save()
        call_command("flush_queue", jobs=1, filter="press.jobs.arch")
        self.assertIsNotNone(Job.objects.get(pk=job.pk).executed)

    @clear_queue
    def test_the_queue_is_cleared(self):
        self.assertEqual(Job.objects.count(), 0)
        self.assertEqual(health(estimate_queue_completion)["queue"]["all-jobs"], 0)

    def test_housekeeping(self):
        old = django_async.schedule(archive, args=["1"])
        old.executed = timezone.now() - datetime.timedelta(days=40)
        old.save()
        Error.objects.create(job=old, exception="Error", traceback="code stack")
        now = timezone.now()
        with patch("async.api._get_now") as get_now:
            get_now.return_value = now
            remove_old_jobs()
        job = Job.objects.get()
        self.assertEqual(job.name, "async.api.remove_old_jobs")
        self.assertEqual(job.scheduled, now + datetime.timedelta(hours=8))
        self.assertEqual(Error.objects.count(), 0)

    def test_the_old_name_still_leads_here(self):
        self.assertIs(import_module("async.models").Job, Job)
        self.assertIs(import_module("async").schedule, django_async.schedule)


class TransactionTests(TransactionTestCase):
    def test_a_class_method(self):
        job = django_async.schedule(Desk.tidy, kwargs={"hard": True})
        self.assertEqual(job.name, "press.jobs.Desk.tidy")
        self.assertIs(job.execute(), True)
        self.assertLessEqual(job.started, job.executed)

    def test_nothing_is_left_by_the_test_before(self):
        self.assertEqual(Job.objects.count() + Group.objects.count(), 0)


class WebTests(TestCase):
    def setUp(self):
        self.user = User.objects.create_user("test", password="password", is_staff=True)
        self.client.force_login(self.user)

    def test_schedule_and_progress(self):
        url = "/slumber/async/Job/schedule/"
        body = {"name": "press.jobs.archive", "args": ["9"], "group": "issue 9"}
        answer = self.client.post(url, json.dumps(body), content_type="application/json")
        self.assertEqual(answer.status_code, 403)
        self.user.user_permissions.add(Permission.objects.get(codename="add_job"))
        answer = self.client.post(url, json.dumps(body), content_type="application/json")
        job = Job.objects.get(pk=answer.json()["job"]["id"])
        self.assertEqual(str(job), "press.jobs.archive('9')")
        answer = self.client.get("/slumber/async/Group/progress/issue%209/")
        self.assertEqual(answer.json()["progress"]["total_jobs"], 1)

    def test_admin(self):
        self.user.is_superuser = True
        self.user.save()
        django_async.schedule(archive, args=["9"])
        answer = self.client.get(reverse("admin:async_job_changelist"))
        self.assertContains(answer, "press.jobs.archive(&#x27;9&#x27;)")
