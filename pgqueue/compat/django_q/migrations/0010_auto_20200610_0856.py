"""A name for migrations of projects that depend on it; nothing is to be done."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Do nothing."""

    dependencies: ClassVar = [("django_q", "0009_auto_20171009_0915")]
