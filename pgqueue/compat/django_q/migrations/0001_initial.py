"""The models: their names and fields, as of today; and the schema of the queue, which has them.

It has the name of the old library's first, and so have those that follow: migrations of a project
may depend on any of them, to make schedules. Where the old library has run already they count as
applied, and that does no harm: none of them alters a table of Django's. For the same reason none
depends on a migration of another app, which would not be applied yet.
"""

from typing import Any, ClassVar

from django.db import migrations, models

from pgqueue.compat.django_q.models import Failure, OrmQ, Schedule, Success, Task
from pgqueue.django.operations import UpgradeSchema


class _Install(UpgradeSchema):
    """Have the schema installed, whichever app is migrated first; its own app removes it."""

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
        _Install(1),
        *(_mirror(model) for model in (Task, Schedule, OrmQ)),
        *(_proxy(model) for model in (Success, Failure)),
    ]
