"""What the models here share: where the queue is, and text that is saved as it was changed."""

from typing import Any

from django.db import models

from pgqueue.django import conf


class AsyncManager(models.Manager):
    """Rows in the queue's database, whatever routers say: a replica would be behind."""

    def get_queryset(self) -> Any:
        """Give all rows."""
        return super().get_queryset().using(self._db or conf.database())


class AsyncModel(models.Model):
    """A row of a view in the queue's database."""

    objects = AsyncManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """Save it in the queue's database."""
        if not args:
            options["using"] = options.get("using") or conf.database()
        super().save(*args, **options)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> Any:
        """Delete it, and what refers to it."""
        return super().delete(using=using or conf.database(), keep_parents=keep_parents)
