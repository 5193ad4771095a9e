"""The first of our own: it has what the others cannot have, the schema of the queue before it."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Alter nothing."""

    dependencies: ClassVar = [
        ("pgqueue", "0001_initial"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]
