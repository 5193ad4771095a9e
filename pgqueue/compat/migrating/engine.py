"""Go through the rows of old tables in batches, move them, and mark what was moved.

A batch is one transaction in the database of the queue: the marks, then what the rows become. So a
row that is marked was moved, and one that was moved is marked, wherever the command is killed. Old
tables are only read, unless their rows are to be deleted, and then when the marks are there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from django.db import Error, IntegrityError, connections, transaction

from pgqueue.compat.migrating.report import Report, Tally
from pgqueue.core.errors import ConfigurationError, PgQueueError
from pgqueue.django import conf

Row = dict[str, Any]
#: Rows of one transaction.
BATCH: Final = 500
#: What reading a row may raise, whatever stands in it.
_UNREADABLE: Final = (
    PgQueueError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    RecursionError,
)  # fmt: skip


class RefusedRow(Exception):
    """Say why a row is not moved; no values are in the message.

    Args:
        why: it is not.
        what: it is, several of them in words, where all of its kind are refused; empty else.
        do: what to do about them.
    """

    def __init__(self, why: str, *, what: str = "", do: str = "") -> None:
        super().__init__(f"{why}; {do}" if do else why)
        self.why = why
        self.what = what
        self.do = do


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a row is to become.

    Attributes:
        value: as its kind writes it.
        lossy: whether values of it could not be read and are left out.
    """

    value: Any
    lossy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The rows of one old table, or some of them.

    Attributes:
        what: they are, in words.
        table: where they are.
        columns: those that are read; a version of the library that has not all of them gives None.
        read: tells what a row is to become, or raises RefusedRow; writes nothing.
        write: writes what rows have become; gives the key of each.
        key: the column that names a row.
        where: which rows of the table; empty for all.
        needed: whether the library cannot be without the table.
    """

    what: str
    table: str
    columns: tuple[str, ...]
    read: Callable[[Row], Moved]
    write: Callable[[Sequence[Any]], Sequence[object]]
    key: str = "id"
    where: LiteralString = ""
    needed: bool = True


class Mover:
    """Move the rows of a library.

    Args:
        library: as it was typed.
        kinds: of its rows, in the order in which they are moved.
        alias: of the database with the old tables.
        apply: whether to move them, or only look.
        delete: whether to delete from the old tables what was moved.
        batch: rows of one transaction.
        advance: called with a kind and a number of its rows that are dealt with.
    """

    def __init__(
        self,
        library: str,
        kinds: Sequence[Kind],
        *,
        alias: str,
        apply: bool,
        delete: bool = False,
        batch: int = BATCH,
        advance: Callable[[Kind, int], None] = lambda kind, rows: None,
    ) -> None:
        self._kinds = kinds
        self._old = connections[alias]
        self._own = connections[conf.database()]
        self._apply = apply
        self._delete = delete
        self._batch = batch
        self._advance = advance
        self.report = Report(library=library, applied=apply)
        self._sources = {kind: source_of(kind.table, alias) for kind in kinds}
        self._tallies = {kind: Tally(what=kind.what, table=kind.table) for kind in kinds}
        self.report.tallies = list(self._tallies.values())

    def count(self) -> dict[Kind, int]:
        """Count the rows of each kind; looks which tables there are.

        Raises:
            ConfigurationError: there are none of the library's.
        """
        found: dict[Kind, int] = {}
        for kind in self._kinds:
            if not self._columns(kind):
                self._tallies[kind].missing = True
                continue
            with self._old.cursor() as cursor:
                cursor.execute(self._select(kind, "count(*)"))
                found[kind] = cursor.fetchone()[0]
        if not any(kind.needed for kind in found):
            names = ", ".join(dict.fromkeys(kind.table for kind in self._kinds))
            raise ConfigurationError(
                f"the database {self._old.alias!r} has no table of {self.report.library}; expected "
                f"{names}; give --database where they are in another"
            )
        return found

    def run(self) -> Report:
        """Move, or look at, all rows; and delete what shall be deleted."""
        kinds = [kind for kind in self._kinds if not self._tallies[kind].missing]
        for kind in kinds:
            for rows in self._pages(kind):
                self._page(kind, rows)
                self._advance(kind, len(rows))
        if self._apply and self._delete:
            try:
                # One transaction: rows of different tables may refer to each other.
                with transaction.atomic(using=self._old.alias):
                    for kind in reversed(kinds):
                        self._clear(kind)
            except IntegrityError:
                for tally in self.report.tallies:
                    tally.deleted = 0
                self.report.kept = (
                    "nothing was deleted: rows that stay refer to rows that were moved; see to "
                    "those that were refused"
                )
        return self.report

    def _columns(self, kind: Kind) -> list[str]:
        with self._old.cursor() as cursor:
            if kind.table not in self._old.introspection.table_names(cursor):
                return []
            described = self._old.introspection.get_table_description(cursor, kind.table)
        there = {column.name for column in described}
        return [name for name in (kind.key, *kind.columns) if name in there]

    def _select(self, kind: Kind, what: str) -> str:
        table = self._old.ops.quote_name(kind.table)
        return " ".join(("SELECT", what, "FROM", table, "WHERE", kind.where or "true"))

    def _pages(self, kind: Kind) -> Iterator[list[Row]]:
        """Read the rows in order of their key, so many at a time."""
        quote = self._old.ops.quote_name
        names = self._columns(kind)
        text = self._select(kind, ", ".join(map(quote, names)))
        order = f" ORDER BY {quote(kind.key)} LIMIT %s"
        absent = dict.fromkeys(kind.columns)
        last: Any = None
        while True:
            with self._old.cursor() as cursor:
                if last is None:
                    cursor.execute(text + order, [self._batch])
                else:
                    after = f" AND {quote(kind.key)} > %s"
                    cursor.execute(text + after + order, [last, self._batch])
                rows = [absent | dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            if rows:
                last = rows[-1][kind.key]
                yield rows
            if len(rows) < self._batch:
                return

    def _page(self, kind: Kind, rows: list[Row]) -> None:
        tally = self._tallies[kind]
        tally.found += len(rows)
        marked = self._marked(kind, rows)
        tally.before += len(marked)
        good: list[tuple[Row, Moved]] = []
        for row in rows:
            if str(row[kind.key]) in marked:
                continue
            try:
                good.append((row, kind.read(row)))
            except RefusedRow as why:
                tally.refuse(row[kind.key], str(why))
                if why.what:
                    alike = (why.what, why.why, why.do)
                    tally.alike[alike] = tally.alike.get(alike, 0) + 1
            except _UNREADABLE as error:
                # Only its type: its message may hold values of the row.
                tally.refuse(row[kind.key], f"it cannot be read ({type(error).__name__})")
        if not self._apply:
            self._tell(tally, good)
            return
        try:
            self._move(kind, tally, good)
        except (Error, PgQueueError, ValueError, TypeError):
            # One of them cannot be written; the others can.
            for pair in good:
                try:
                    self._move(kind, tally, [pair])
                except (Error, PgQueueError, ValueError, TypeError) as error:
                    if self._own.connection is None or self._own.connection.closed:
                        raise
                    tally.refuse(pair[0][kind.key], _reason(error))

    def _move(self, kind: Kind, tally: Tally, pairs: list[tuple[Row, Moved]]) -> None:
        if not pairs:
            return
        with transaction.atomic(using=self._own.alias):
            # Whoever moves the same rows at the same time waits here, and finds them moved.
            mine = self._mark(kind, [str(row[kind.key]) for row, _ in pairs])
            chosen = [pair for pair in pairs if str(pair[0][kind.key]) in mine]
            keys = kind.write([moved.value for _, moved in chosen]) if chosen else []
            with self._own.cursor() as cursor:
                cursor.execute(
                    "UPDATE pgqueue.migrated_rows AS m SET became = b.became"
                    " FROM unnest(%s::text[], %s::text[]) AS b (id, became)"
                    " WHERE m.source = %s AND m.id = b.id",
                    [
                        [str(row[kind.key]) for row, _ in chosen],
                        [str(key) for key in keys],
                        self._sources[kind],
                    ],
                )
        tally.before += len(pairs) - len(chosen)
        self._tell(tally, chosen)

    def _tell(self, tally: Tally, pairs: list[tuple[Row, Moved]]) -> None:
        tally.moved += len(pairs)
        tally.lossy += sum(moved.lossy for _, moved in pairs)

    def _marked(self, kind: Kind, rows: list[Row]) -> set[str]:
        with self._own.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM pgqueue.migrated_rows WHERE source = %s AND id = ANY (%s)",
                [self._sources[kind], [str(row[kind.key]) for row in rows]],
            )
            return {row[0] for row in cursor.fetchall()}

    def _mark(self, kind: Kind, ids: list[str]) -> set[str]:
        with self._own.cursor() as cursor:
            cursor.execute(
                "INSERT INTO pgqueue.migrated_rows (source, id)"
                " SELECT %s, i.id FROM unnest(%s::text[]) AS i (id)"
                " ON CONFLICT DO NOTHING RETURNING id",
                [self._sources[kind], ids],
            )
            return {row[0] for row in cursor.fetchall()}

    def _clear(self, kind: Kind) -> None:
        quote = self._old.ops.quote_name
        text = " ".join(("DELETE FROM", quote(kind.table), "WHERE", quote(kind.key), "= ANY (%s)"))
        tally = self._tallies[kind]
        for rows in self._pages(kind):
            marked = self._marked(kind, rows)
            chosen = [row[kind.key] for row in rows if str(row[kind.key]) in marked]
            if chosen:
                with self._old.cursor() as cursor:
                    cursor.execute(text, [chosen])
                    tally.deleted += cursor.rowcount


def source_of(table: str, alias: str) -> str:
    """Name an old table in the marks of its rows: with its alias, where it is not beside the queue.

    Tables of one name in several databases have the same keys for different rows.
    """
    own = conf.database()
    # Two aliases may lead to one table, and one database may have two of a name, in two schemas.
    same = alias == own or _place(table, alias) == _place(table, own)
    return table if same else f"{alias}:{table}"


def _place(table: str, alias: str) -> tuple[object, ...]:
    """Give what two tables, wherever they are, do not have in common."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_database(), pg_postmaster_start_time(), to_regclass(%s)::oid",
            [connection.ops.quote_name(table)],
        )
        found: tuple[object, ...] = cursor.fetchone()
    return found


def became(table: str, ids: Sequence[object], alias: str) -> dict[str, str]:
    """Tell what rows that were moved have become, by their old keys."""
    source = source_of(table, alias)
    with connections[conf.database()].cursor() as cursor:
        cursor.execute(
            "SELECT id, became FROM pgqueue.migrated_rows WHERE source = %s AND id = ANY (%s)",
            [source, [str(one) for one in ids]],
        )
        return {row[0]: row[1] for row in cursor.fetchall() if row[1] is not None}


def _reason(error: Exception) -> str:
    """Say why a row cannot be written; the server's details, which may hold its values, are not
    told."""
    text = str(error).partition("\n")[0]
    return text or type(error).__name__
