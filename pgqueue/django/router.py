"""A database router that keeps the queue in the database that `PGQUEUE["DATABASE"]` names."""

from typing import Any, Final

from pgqueue.django import conf

#: The app label of the models here.
LABEL: Final = "pgqueue"


class Router:
    """Send what concerns the queue's models to its database; `DATABASE_ROUTERS` names it.

    Needed where that is not the default one.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        """Name the database for a model of the queue; a replica would be behind."""
        return conf.database() if model._meta.app_label == LABEL else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Name the database for a model of the queue."""
        return conf.database() if model._meta.app_label == LABEL else None

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        """Allow what stands between two models of the queue."""
        return True if one._meta.app_label == other._meta.app_label == LABEL else None

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        """Migrate the queue in its own database only."""
        return db == conf.database() if app_label == LABEL else None
