"""`select_for_update()` of models over views of jobs: it locks the jobs behind the rows."""

from typing import Any

from django.db import connections, models
from django.db.transaction import TransactionManagementError


class LockingQuerySet(models.QuerySet):
    """Rows of a view whose key is the id of a job.

    With `select_for_update()` the jobs are locked first, and read when they are: nobody changes
    them, and no worker starts them, before the transaction ends. One that runs goes on.
    """

    _result_cache: Any

    def _fetch_all(self) -> None:
        if self._result_cache is None and self.query.select_for_update:
            held = self._held()
            held._fetch_all()
            self._result_cache = held._result_cache
            self._prefetch_done = True
        super()._fetch_all()

    def _iterator(self, *args: Any, **options: Any) -> Any:
        if self.query.select_for_update:
            yield from self._held()._iterator(*args, **options)
        else:
            yield from super()._iterator(*args, **options)

    def exists(self) -> bool:
        """Tell whether there are any; locks none."""
        if self.query.select_for_update:
            return bool(self._unlocked().exists())
        return bool(super().exists())

    def _unlocked(self) -> Any:
        found = self._chain()
        found.query.select_for_update = False
        return found

    def _held(self) -> Any:
        """Lock the jobs; gives the same rows, those that are there once they are locked."""
        if connections[self.db].get_autocommit():
            raise TransactionManagementError(
                "select_for_update cannot be used outside of a transaction."
            )
        query = self.query
        found = self._unlocked()
        named = found.values_list("pk", flat=True)
        most = None
        if_locked = "fail" if query.select_for_update_nowait else "wait"
        if query.select_for_update_skip_locked:
            if_locked = "skip"
            if query.high_mark is not None:
                # Others stand behind those that are skipped.
                most = query.high_mark - query.low_mark
                named.query.high_mark = None
        with connections[self.db].cursor() as cursor:
            cursor.execute(
                "SELECT pgqueue.hold_jobs(%s::bigint[], %s, %s)", [list(named), if_locked, most]
            )
            ids = [row[0] for row in cursor.fetchall()]
        found.query.clear_limits()
        found.query.add_q(models.Q(pk__in=ids))
        return found
