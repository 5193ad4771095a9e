"""Patients and what they are told."""

import datetime

from django.db import models
from django_future import schedule_job


class Patient(models.Model):
    """A patient."""

    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name

    def visit(self, date):
        """Plan a visit, and remind the patient a day before."""
        day = datetime.timedelta(days=1)
        return schedule_job(date - day, "clinic.handlers.remind", content_object=self, expires="1d")

    def greet(self):
        """Greet the patient."""
        return Letter.objects.create(patient=self, text=f"Dear {self.name}").text


class Letter(models.Model):
    """What a patient was told."""

    patient = models.ForeignKey(Patient, models.CASCADE)
    text = models.TextField()

    def __str__(self):
        return self.text
