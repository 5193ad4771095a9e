"""A migration of the old library's by its name, for those that depend on it; it alters nothing."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Alter nothing."""

    dependencies: ClassVar = [("django_q", "0004_auto_20150710_1043")]
