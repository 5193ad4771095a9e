"""The first that is not of the old library: from here on the schema of the queue is there."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Wait for the schema."""

    dependencies: ClassVar = [
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
        ("pgqueue", "0001_initial"),
    ]
