"""Ship what is left each night."""

# ruff: noqa: RUF012

from django.db import migrations


def add(apps, schema_editor):
    """Make the schedule."""
    Schedule = apps.get_model("django_q", "Schedule")
    Schedule.objects.get_or_create(
        name="nightly",
        defaults={"func": "shop.tasks.ship_all", "args": "'nightly'", "schedule_type": "D"},
    )


class Migration(migrations.Migration):
    """Make the schedule."""

    dependencies = [("shop", "0001_initial"), ("django_q", "0014_schedule_cluster")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
