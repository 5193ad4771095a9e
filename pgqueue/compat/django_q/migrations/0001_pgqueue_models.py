"""The names and fields of the models; their tables are of the schema of the queue.

It has a name of its own: in the database of a project that comes from the old library those of the
old library's migrations are taken. Since Django manages none of the models, it alters nothing, and
the fields may be those of today: who makes schedules in a migration finds them.
"""

from typing import Any, ClassVar

from django.db import migrations, models

from pgqueue.compat.django_q.models import Failure, OrmQ, Schedule, Success, Task


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
    dependencies: ClassVar = [("pgqueue", "0001_initial")]
    operations: ClassVar = [
        *(_mirror(model) for model in (Task, Schedule, OrmQ)),
        *(_proxy(model) for model in (Success, Failure)),
    ]
