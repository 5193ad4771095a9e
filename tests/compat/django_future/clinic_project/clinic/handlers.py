"""What the jobs of the clinic do."""

from django_future import job_as_parameter

from clinic.models import Letter


def remind(patient, times=1):
    """Write a reminder."""
    for _ in range(times):
        Letter.objects.create(patient=patient, text="See you tomorrow")


@job_as_parameter
def nag(job, patient, left=2):
    """Ask for an answer every week."""
    Letter.objects.create(patient=patient, text=f"Please answer ({left})")
    if left:
        job.reschedule("1w", kwargs={"left": left - 1})


def lose(patient):
    """Write a letter that is lost."""
    Letter.objects.create(patient=patient, text="Lost")
    raise OSError("no paper")
