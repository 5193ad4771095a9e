"""What the models of the old queue share: they live in the database of the queue."""

from typing import Any

from django.db import models

from pgqueue.django import conf


class QManager(models.Manager):
    """Rows in the queue's database, whatever routers say."""

    def get_queryset(self) -> Any:
        """Give all rows."""
        return self._queryset_class(
            model=self.model, using=self._db or conf.database(), hints=self._hints
        )


class SuccessManager(QManager):
    """Tasks that have succeeded."""

    def get_queryset(self) -> Any:
        """Give those rows."""
        return super().get_queryset().filter(success=True)


class FailureManager(QManager):
    """Tasks that have failed."""

    def get_queryset(self) -> Any:
        """Give those rows."""
        return super().get_queryset().filter(success=False)


class QModel(models.Model):
    """A row of the old queue's."""

    objects = QManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """Save it in the queue's database."""
        if not args:
            options["using"] = options.get("using") or conf.database()
        super().save(*args, **options)

    def delete(self, *args: Any, **options: Any) -> Any:
        """Delete it from the queue's database."""
        if not args:
            options["using"] = options.get("using") or conf.database()
        return super().delete(*args, **options)
