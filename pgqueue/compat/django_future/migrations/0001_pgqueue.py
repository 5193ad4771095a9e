"""The model over the view; not managed by Django, so only its key stands here.

The name is one that no migration of the old library has.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = (("contenttypes", "__first__"), ("pgqueue", "__first__"))
    operations = (
        migrations.CreateModel(
            name="ScheduledJob",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."django_future_jobs"',
                "verbose_name": "scheduled job",
                "verbose_name_plural": "scheduled jobs",
                "get_latest_by": "time_slot_start",
                "ordering": ["time_slot_start"],
            },
        ),
    )
