"""Enqueue each item of data in every way there is, run what was taken, and judge.

An item is well when it is refused with the right error, which names the place and shows no
argument, or arrives exactly; and when the jobs beside it run all the same.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from pgqueue import PgQueue
from pgqueue.core import codec
from pgqueue.core.errors import PgQueueError
from tests.acceptance.support import Jobs
from tests.faults.corpus import data_items as items
from tests.faults.corpus import echo
from tests.faults.corpus.rig import Verdict, working
from tests.fixtures.databases import Database

APP = "tests.faults.corpus.echo"
_TELL = f"{APP}.tell"
#: Seconds within which all of it must be over.
BOUND = 120.0
#: The ways in which SQL writes a job.
_WAYS = ("INSERT", "COPY", "enqueue")


@dataclass(slots=True)
class _Item:
    """One item: what was said at once, and the jobs that came of it."""

    name: str
    expected: str
    complaints: list[str] = field(default_factory=list)
    jobs: list[tuple[str, int]] = field(default_factory=list)
    #: What each of its jobs must come to: state, result, and a part of the error.
    state: str = "succeeded"
    result: str | None = None
    error: str = ""


class Feeder:
    """Feed items to one database.

    Args:
        database: with nothing in it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs = Jobs(database.dsn)
        self._app = PgQueue(database.dsn)
        #: An argument that nobody may show.
        self._canary = f"swordfish-{uuid.uuid4().hex}"
        self._mates: list[int] = []
        self._items: list[_Item] = []

    def run(self) -> list[Verdict]:
        """Feed everything, with a worker running."""
        with (
            self._app,
            working(self._database.dsn, APP, "--processes", "1", "--threads", "2") as worker,
        ):
            self._python()
            self._sql()
            self._ids()
            self._wait()
            verdicts = [self._judge(item) for item in self._items]
            verdicts.append(self._about_mates())
            assert worker.process.poll() is None, worker.log()
            shown = [name for name, log in self._logs(worker.log()) if self._canary in log]
        verdicts.append(Verdict(name="logs", expected="no argument", came=str(shown), ok=not shown))
        self._jobs.close()
        return verdicts

    def _logs(self, of_worker: str) -> Iterator[tuple[str, str]]:
        yield "worker", of_worker
        yield "server", self._database.server.log()

    def _item(self, name: str, expected: str, **more: Any) -> _Item:
        found = _Item(name, expected, **more)
        self._items.append(found)
        # Two that must not notice.
        self._mates += self._jobs.add_many(2, _TELL, "mate")
        return found

    # -- by Python --------------------------------------------------------------------------

    def _python(self) -> None:
        for value, words in items.REFUSED_VALUES:
            item = self._item(f"value {_named(value)}", f"refused: {words}")
            for way, call in self._calls(value):
                self._refuse(item, way, call, words, PgQueueError)
        for value in items.VALUES:
            item = self._item(f"value {_named(value)}", "arrives", result=echo.shape(value))
            item.jobs.append(("enqueue", self._app.enqueue(_TELL, [value]).id))
            specs = [echo.tell.job(value)]
            item.jobs += [("enqueue_many", job.id) for job in self._app.enqueue_many(specs)]
            # As another program writes it, that knows the tags.
            text = codec.dumps([value]).decode()
            item.jobs += [(way, self._write(way, {"task": _TELL, "args": text})) for way in _WAYS]
        for options, words in items.REFUSED_OPTIONS:
            item = self._item(f"option {_named(options)}", f"refused: {words}")

            def using(options: dict[str, Any] = options) -> object:
                return self._app.enqueue(_TELL, [self._canary], **options)

            self._refuse(item, "enqueue", using, words, PgQueueError)

    def _calls(self, value: object) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "enqueue", lambda: self._app.enqueue(_TELL, [value, self._canary])
        yield "job", lambda: self._app.enqueue_many([echo.tell.job(value, self._canary)])

    def _refuse(
        self,
        item: _Item,
        way: str,
        call: Callable[[], object],
        words: str,
        kind: type[Exception],
    ) -> None:
        """Call what must be refused, and look at how."""
        try:
            call()
        except kind as error:
            told = [str(error), repr(error), str(error.__cause__), *getattr(error, "__notes__", [])]
            if words not in told[0]:
                item.complaints.append(f"{way} said: {told[0][:100]}")
            if any(self._canary in text for text in told):
                item.complaints.append(f"{way} showed an argument")
        except Exception as error:
            item.complaints.append(f"{way} raised {type(error).__name__}")
        else:
            item.complaints.append(f"{way} took it")

    # -- by SQL -----------------------------------------------------------------------------

    def _sql(self) -> None:
        for text, value in items.RAW:
            item = self._item(f"raw {_named(text)}", "arrives", result=echo.shape(value))
            self._store(item, {"task": _TELL, "args": f"[{text}]"})
        for text, words in items.UNREADABLE:
            item = self._item(f"raw {_named(text)}", f"fails: {words}", state="failed", error=words)
            self._store(item, {"task": _TELL, "args": f'[{text}, "{self._canary}"]'})
        for text, code in items.NO_JSON:
            item = self._item(f"raw {_named(text)}", code)
            # The server's own error; it quotes what it cannot read, so no canary here.
            self._deny(item, {"task": _TELL, "args": f"[{text}]"}, {code}, "")
        for columns, sentence in items.REFUSED_ROWS:
            shown = f"{_named(columns)}"
            item = self._item(f"row {shown}", f"PQ001: {sentence}")
            row = {"task": _TELL, "args": self._secret(), **columns}
            row = {
                name: value.replace("SECRET", self._canary) if isinstance(value, str) else value
                for name, value in row.items()
            }
            self._deny(item, row, {"PQ001"}, sentence)
        for columns, codes in items.REFUSED_COLUMNS:
            item = self._item(f"row {_named(columns)}", "/".join(sorted(codes)))
            self._deny(item, {"task": _TELL, "args": self._secret(), **columns}, codes, "")
        for columns, state in items.STORED:
            result = echo.shape("well") if state == "succeeded" else None
            item = self._item(f"row {_named(columns)}", state, state=state, result=result)
            self._store(item, {"task": _TELL, "args": '["well"]', **columns})

    def _secret(self) -> str:
        return json.dumps([self._canary])

    def _write(self, way: str, row: dict[str, Any]) -> int:
        """Write a row; give its id."""
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        connection = self._jobs.connection
        with connection.transaction(), connection.cursor() as cursor:
            if way == "COPY":
                copied = sql.SQL("COPY pgqueue.jobs ({}) FROM STDIN").format(names)
                with cursor.copy(copied) as copy:
                    copy.write_row(list(row.values()))
                return int(self._jobs.value("SELECT currval('pgqueue.jobs_id_seq')"))
            places = sql.SQL(", ").join(sql.Placeholder() * len(row))
            if way == "INSERT":
                query = sql.SQL("INSERT INTO pgqueue.jobs ({}) VALUES ({}) RETURNING id").format(
                    names, places
                )
            else:
                named = sql.SQL(", ").join(
                    sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder())
                    for name in row
                )
                query = sql.SQL("SELECT pgqueue.enqueue({}) AS id").format(named)
            found = cursor.execute(query, list(row.values())).fetchone()
            assert found is not None
            return int(found["id"])

    def _store(self, item: _Item, row: dict[str, Any]) -> None:
        for way in _WAYS:
            try:
                item.jobs.append((way, self._write(way, row)))
            except psycopg.Error as error:
                item.complaints.append(f"{way}: {error.sqlstate} {error.diag.message_primary}")

    def _deny(self, item: _Item, row: dict[str, Any], codes: set[str], sentence: str) -> None:
        # COPY may give an id, by the rules of SQL; only one that is taken is refused.
        for way in ("INSERT",) if "id" in row else ("INSERT", "COPY"):
            try:
                self._write(way, row)
            except psycopg.Error as error:
                said = error.diag.message_primary or ""
                if error.sqlstate not in codes or (sentence and said != sentence):
                    item.complaints.append(f"{way}: {error.sqlstate} {said[:80]}")
                if self._canary in f"{error} {error.diag.message_detail} {error.diag.context}":
                    item.complaints.append(f"{way} showed an argument")
            else:
                item.complaints.append(f"{way} took it")

    def _ids(self) -> None:
        before = self._jobs.value("SELECT nextval('pgqueue.jobs_id_seq')")
        for start in items.ID_STARTS:
            self._jobs.query(f"ALTER TABLE pgqueue.jobs ALTER id RESTART WITH {start}")
            item = self._item(f"id {start}", "arrives", result=echo.shape("well"))
            for way in _WAYS * 3:
                item.jobs.append((way, self._write(way, {"task": _TELL, "args": '["well"]'})))
            item.jobs.append(("Python", self._app.enqueue(_TELL, ["well"]).id))
            assert item.jobs[-1][1] > start + 5
        assert before < items.ID_STARTS[0]

    # -- judging ----------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait until whatever can run has run; scheduled jobs stay where they are."""
        deadline = time.monotonic() + BOUND
        while self._jobs.states().keys() & {"ready", "running"} and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self._jobs.problems() == []

    def _judge(self, item: _Item) -> Verdict:
        complaints = list(item.complaints)
        for way, job in item.jobs:
            # Not all columns: Python has no year 294276.
            (row,) = self._jobs.query(
                "SELECT state, result, error FROM pgqueue.job_overview WHERE id = %s", job
            )
            said = row["error"] or ""
            if (row["state"], row["result"]) != (item.state, item.result):
                complaints.append(f"{way}: {row['state']} {_short(row['result'])} {said[:80]}")
            elif item.error not in said:
                complaints.append(f"{way} said: {said[:100]}")
            if any(self._canary in str(error) for error in [said, *self._jobs.errors(job)]):
                complaints.append(f"{way}: its error shows an argument")
        return Verdict(
            name=item.name[:70],
            expected=item.expected[:100],
            came="; ".join(complaints) or f"as expected in {max(1, len(item.jobs))} ways",
            ok=not complaints,
        )

    def _about_mates(self) -> Verdict:
        good = self._jobs.value(
            "SELECT count(*) FROM pgqueue.finished_jobs WHERE job_id = ANY (%s)"
            " AND state = 'succeeded' AND attempt = 1 AND lost = 0",
            self._mates,
        )
        return Verdict(
            name="mates",
            expected=f"{len(self._mates)} succeeded at once",
            came=str(good),
            ok=good == len(self._mates),
        )


def _named(value: object) -> str:
    """Name a value so that it fits into a line."""
    try:
        text = json.dumps(value, default=repr)
    except Exception:
        text = f"of type {type(value).__name__}"
    return _short(text)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text)})"


def run(database: Database) -> list[Verdict]:
    """Feed all items."""
    return Feeder(database).run()
