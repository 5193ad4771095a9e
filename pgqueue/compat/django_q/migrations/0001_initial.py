"""The names and fields of the models; their tables are of the schema of the queue.

It and those that follow have the names of the old library's migrations, since migrations of
projects depend on these, to make schedules. In a database that comes from there they count as
applied, and 0020 waits for the schema; in a new one this installs it. It cannot depend on the
migration that does: in the former that would be a history that never was.

Since Django manages none of the models, nothing here alters a table, and the fields may be those of
today.
"""

from typing import Any, ClassVar

from django.db import migrations, models

from pgqueue.compat.django_q.models import Failure, OrmQ, Schedule, Success, Task
from pgqueue.django.operations import UpgradeSchema


class _InstallSchema(UpgradeSchema):
    """Install the schema where it is missing; to remove it is not for this app."""

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Leave it."""


def _mirror(model: type[models.Model]) -> migrations.CreateModel:
    meta: Any = model._meta
    options = {
        "managed": False,
        "db_table": meta.db_table,
        **({"ordering": meta.ordering} if meta.ordering else {}),
        "verbose_name": meta.verbose_name,
        "verbose_name_plural": meta.verbose_name_plural,
    }
    fields = [(field.name, field.clone()) for field in meta.local_fields]
    return migrations.CreateModel(name=meta.object_name, fields=fields, options=options)


def _proxy(model: type[models.Model]) -> migrations.CreateModel:
    meta: Any = model._meta
    options = {
        "proxy": True,
        "ordering": meta.ordering,
        "verbose_name": meta.verbose_name,
        "verbose_name_plural": meta.verbose_name_plural,
        "indexes": [],
        "constraints": [],
    }
    return migrations.CreateModel(
        name=meta.object_name, fields=[], options=options, bases=("django_q.task",)
    )


class Migration(migrations.Migration):
    """Tell Django of the models."""

    initial = True
    operations: ClassVar = [
        _InstallSchema(1),
        *(_mirror(model) for model in (Task, Schedule, OrmQ)),
        *(_proxy(model) for model in (Success, Failure)),
    ]
