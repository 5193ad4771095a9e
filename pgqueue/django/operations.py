"""The operation of our migrations: the versioned SQL, by the same upgrader as everywhere."""

from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation

from pgqueue.db.sqlfiles import read_versions
from pgqueue.django import install
from pgqueue.django.router import LABEL


class UpgradeSchema(Operation):
    """Bring the schema pgqueue to the newest version this pgqueue knows.

    So a database in which `python -m pgqueue schema upgrade` or psql was first is taken on, and one
    that is there already is left alone. Each version of the schema comes with a migration, which
    is how `migrate` knows that there is something to do.

    Args:
        version: the version that this migration came with. The migration of version 1, reversed,
            removes the schema with all jobs; it refuses while workers are alive or jobs unfinished.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, version: int) -> None:
        self.version = version

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: the models are not made here."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Upgrade; in the database of the queue only."""
        if not self._is_here(app_label, schema_editor):
            return
        if schema_editor.collect_sql:
            version = read_versions()[self.version - 1]
            schema_editor.collected_sql += [file.content.decode() for file in version.files]
        else:
            install.upgrade(schema_editor.connection)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Remove the schema with its first version; a later one has no way back, and needs none."""
        if self.version > 1 or not self._is_here(app_label, schema_editor):
            return
        if schema_editor.collect_sql:
            schema_editor.collected_sql.append("DROP SCHEMA pgqueue CASCADE;")
        else:
            install.uninstall(schema_editor.connection)

    def describe(self) -> str:
        """Say it in words."""
        return f"Install version {self.version} of the schema {LABEL}"

    @property
    def migration_name_fragment(self) -> str:
        """Name the migration."""
        return f"schema_{self.version}"

    def _is_here(self, app_label: str, schema_editor: Any) -> bool:
        alias = schema_editor.connection.alias
        return install.is_ours(schema_editor.connection) and bool(
            router.allow_migrate(alias, app_label)
        )
