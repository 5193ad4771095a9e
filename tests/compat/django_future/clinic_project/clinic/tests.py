"""The tests of the clinic, as they were with the old library."""

import datetime

import pytest
from django.core.management import call_command
from django.test import TestCase, TransactionTestCase
from django.utils import timezone
from django_future import run_jobs, schedule_job
from django_future.jobs import import_app_jobs
from django_future.models import ScheduledJob
from django_future.utils import parse_timedelta

from clinic.models import Letter, Patient

DAY = datetime.timedelta(days=1)


class VisitTests(TestCase):
    """A visit and its reminder."""

    def setUp(self):
        self.patient = Patient.objects.create(name="Anna")
        for job in ScheduledJob.objects.all():
            job.delete()

    def letters(self):
        return [letter.text for letter in Letter.objects.order_by("pk")]

    def test_a_visit_makes_a_job(self):
        job = self.patient.visit(timezone.now() + 3 * DAY)
        assert repr(job) == "<ScheduledJob (scheduled) callable='clinic.handlers.remind'>"
        assert ScheduledJob.objects.filter(status="scheduled").count() == 1
        assert job.content_object == self.patient
        assert job.object_id == self.patient.pk
        assert job.time_slot_end - job.time_slot_start == DAY

    def test_the_reminder_comes_a_day_before(self):
        self.patient.visit(timezone.now() + 3 * DAY)
        run_jobs(now=timezone.now() + DAY)
        assert self.letters() == []
        run_jobs(now=timezone.now() + 2 * DAY)
        assert self.letters() == ["See you tomorrow"]
        run_jobs(now=timezone.now() + 2 * DAY)
        assert len(self.letters()) == 1

    def test_a_reminder_that_comes_too_late_does_not_come(self):
        self.patient.visit(timezone.now() - DAY)
        run_jobs()
        assert self.letters() == []
        job = ScheduledJob.objects.get(callable_name="clinic.handlers.remind")
        assert job.status == "expired"

    def test_parameters(self):
        schedule_job("0h", "clinic.handlers.remind", self.patient, kwargs={"times": 2})
        run_jobs()
        assert self.letters() == ["See you tomorrow"] * 2

    def test_a_method(self):
        job = schedule_job("0h", "greet", content_object=self.patient)
        run_jobs()
        job = ScheduledJob.objects.get(pk=job.pk)
        assert (job.status, job.return_value) == ("complete", "Dear Anna")

    def test_nagging_ends(self):
        schedule_job("0h", "clinic.handlers.nag", self.patient)
        run_jobs()
        for _ in range(4):
            run_jobs(now=timezone.now() + 8 * DAY)
        assert self.letters() == [f"Please answer ({left})" for left in (2, 1, 0)]

    def test_offsets(self):
        assert parse_timedelta("5d") == 5 * DAY
        with pytest.raises(KeyError):
            schedule_job("5y", "clinic.handlers.nag")


class ErrorTests(TransactionTestCase):
    """What goes wrong."""

    def test_an_error_is_stored_and_its_work_is_not(self):
        patient = Patient.objects.create(name="Anna")
        job = schedule_job("0h", "clinic.handlers.lose", patient)
        with pytest.raises(OSError):
            run_jobs()
        assert ScheduledJob.objects.get(pk=job.pk).status == "failed"
        assert "OSError: no paper" in ScheduledJob.objects.get(pk=job.pk).error
        assert Letter.objects.count() == 0

    def test_the_command(self):
        patient = Patient.objects.create(name="Anna")
        schedule_job("0h", "clinic.handlers.lose", patient)
        schedule_job("0h", "clinic.handlers.remind", patient)
        call_command("runscheduledjobs", ignore_errors=True, delete_completed=True)
        assert [job.status for job in ScheduledJob.objects.all()] == ["failed"]
        assert Letter.objects.count() == 1


class StickyTests(TransactionTestCase):
    """What is always to be done."""

    def test_it_is_done_by_each_run(self):
        import_app_jobs()
        patient = Patient.objects.create(name="Anna")
        for _ in range(2):
            Letter.objects.create(patient=patient, text="old")
            run_jobs()
            assert Letter.objects.count() == 0
        tidied = ScheduledJob.objects.filter(callable_name="clinic.jobs.tidy", status="complete")
        assert tidied.count() == 2
