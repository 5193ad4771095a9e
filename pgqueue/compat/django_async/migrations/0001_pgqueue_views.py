"""The models over the views of the queue's schema, which Django does not manage.

Its name is not that of the first migration of django-async, so that a project may have both among
those that were applied.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = (("pgqueue", "0001_initial"),)
    operations = (
        migrations.CreateModel(
            name="Group",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."async_groups"',
                "verbose_name": "group",
                "verbose_name_plural": "groups",
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."async_jobs"',
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.CreateModel(
            name="Error",
            fields=[("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "db_table": '"pgqueue"."async_errors"',
                "verbose_name": "error",
                "verbose_name_plural": "errors",
            },
        ),
    )
