"""What is always to be done."""

from django_future import sticky_job

from clinic.models import Letter


@sticky_job
def tidy():
    """Throw away old letters."""
    Letter.objects.filter(text="old").delete()
