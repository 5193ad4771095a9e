"""Statements that add jobs: one, or many."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from json import dumps as quoted
from typing import Any, Final, LiteralString, NamedTuple, TypeAlias

from pgqueue.core import codec
from pgqueue.core.composition import callbacks_of
from pgqueue.core.errors import BadArgumentsError, ConfigurationError, RefusedJobError
from pgqueue.core.options import EnqueueOptions
from pgqueue.db.statements.base import Rows, Statement, as_int, as_moment, first_int

#: The most JSON that one `enqueue_many` may send. The server's limit for an array is 256 MiB, and
#: it holds the text, the parsed value and the rows at the same time.
MAX_MANY_BYTES: Final = 200 * 1024 * 1024

#: Gives the concurrency key and the fair key, by how many results stand before the arguments.
Keys: TypeAlias = Callable[[int], tuple[str | None, str | None]]
_OF_CALLBACKS: Final = (
    "queue", "priority", "meta", "concurrency_key", "max_running", "rate", "fair_key",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """Hold a job that is to be enqueued, its arguments encoded; a task's ``job()`` makes it.

    Attributes:
        task: the task's name.
        args: a JSON array.
        kwargs: a JSON object.
        options: what its row says beyond that; what is None keeps the column's default.
        unique_key: what no other live job may have; None for no such limit.
        complaint: why it cannot be enqueued alone: arguments are missing that the results of other
            jobs may be.
        complain: tells what is wrong with it when so many results stand before its arguments,
            empty for nothing; None where nobody can tell.
        concurrency_key: in whose line it runs; None for no such limit.
        fair_key: in whose turn it is taken; None for no turns.
        is_unique: whether its task makes a unique key from arguments, which may not be known yet.
        keys: gives these two keys when so many results stand before its arguments; None where they
            do not depend on arguments.
    """

    task: str
    # Left out of the repr, which ends up in logs and tracebacks.
    args: str = field(default="[]", repr=False)
    kwargs: str = field(default="{}", repr=False)
    options: EnqueueOptions = field(default=EnqueueOptions(), repr=False)
    unique_key: str | None = field(default=None, repr=False)
    concurrency_key: str | None = field(default=None, repr=False)
    fair_key: str | None = field(default=None, repr=False)
    complaint: str = field(default="", repr=False)
    complain: Callable[[int], str] | None = field(default=None, repr=False, compare=False)
    is_unique: bool = False
    keys: Keys | None = field(default=None, repr=False, compare=False)

    def as_callback(self) -> dict[str, Any]:
        """Give it in the form of `pgqueue.jobs.callbacks`: what it is told comes before its own
        arguments.

        Raises:
            ConfigurationError: it has options that a callback cannot have.
            BadArgumentsError: its task cannot be called so.
        """
        wrong = self.complain(1) if self.complain is not None else ""
        if wrong:
            raise BadArgumentsError(f"{wrong}; a callback is told what ended as first argument")
        found: dict[str, Any] = {"task": self.task}
        if self.args != "[]":
            found["args"] = codec.loads(self.args)
        if self.kwargs != "{}":
            found["kwargs"] = codec.loads(self.kwargs)
        for item in fields(self.options):
            value = getattr(self.options, item.name)
            if value is None or value == item.default:
                continue
            if item.name not in _OF_CALLBACKS:
                raise ConfigurationError(
                    f"a callback must have no options but {', '.join(_OF_CALLBACKS)}; got "
                    f"{item.name}"
                )
            found[item.name] = value
        found |= _set(line_of(self, 1))
        if self.unique_key is not None:
            raise ConfigurationError("a callback must have no unique key")
        return found


class Enqueued(NamedTuple):
    """Hold what became of a job that may be a duplicate.

    Attributes:
        id: the job's id; of a duplicate, that of the job that was there.
        duplicate: whether it is one.
    """

    id: int
    duplicate: bool


# For every parameter of a new job its column and how the text becomes its value. Times that count
# from now are given as seconds and added to the server's clock, not to ours; clock_timestamp() and
# not now(), which lags by the whole of the caller's transaction.
NEW: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    "task": ("task", "CAST(%(task)s AS text)"),
    "args": ("args", "CAST(CAST(%(args)s AS text) AS jsonb)"),
    "kwargs": ("kwargs", "CAST(CAST(%(kwargs)s AS text) AS jsonb)"),
    "queue": ("queue", "CAST(%(queue)s AS text)"),
    "priority": ("priority", "CAST(CAST(%(priority)s AS text) AS smallint)"),
    "run_at": ("run_at", "CAST(CAST(%(run_at)s AS text) AS timestamptz)"),
    "run_in": (
        "run_at",
        "clock_timestamp()"
        " + make_interval(secs => CAST(CAST(%(run_in)s AS text) AS double precision))",
    ),
    "expires_at": ("expires_at", "CAST(CAST(%(expires_at)s AS text) AS timestamptz)"),
    "expires_in": (
        "expires_at",
        "clock_timestamp()"
        " + make_interval(secs => CAST(CAST(%(expires_in)s AS text) AS double precision))",
    ),
    "timeout": (
        "timeout",
        "make_interval(secs => CAST(CAST(%(timeout)s AS text) AS double precision))",
    ),
    "max_attempts": ("max_attempts", "CAST(CAST(%(max_attempts)s AS text) AS smallint)"),
    "meta": ("meta", "CAST(CAST(%(meta)s AS text) AS jsonb)"),
    "group_id": ("group_id", "CAST(CAST(%(group_id)s AS text) AS bigint)"),
    "callbacks": ("callbacks", "CAST(CAST(%(callbacks)s AS text) AS jsonb)"),
    "after": ("after", "CAST(CAST(%(after)s AS text) AS bigint[])"),
    "run_if": ("run_if", "CAST(%(run_if)s AS text)"),
    "results_as": ("results_as", "CAST(%(results_as)s AS text)"),
    "concurrency_key": ("concurrency_key", "CAST(%(concurrency_key)s AS text)"),
    "max_running": ("max_running", "CAST(CAST(%(max_running)s AS text) AS integer)"),
    "rate": ("rate", "CAST(%(rate)s AS text)"),
    "fair_key": ("fair_key", "CAST(%(fair_key)s AS text)"),
}
#: Those whose text is JSON already.
_JSON: Final = ("meta", "callbacks")

# Jobs that are alike but for their arguments travel as one object with all their arguments: 100,000
# of them took 0.37 s on the server, without triggers, against 0.60 s as one object each, 0.75 s as
# parallel arrays and 0.26 s by COPY, which gives no ids. There is one plan for it, a scan of each
# function inside the other, so the rows are inserted, numbered and returned in the order given.
_MANY: Final = """
INSERT INTO pgqueue.jobs
    (task, args, kwargs, queue, priority, run_at, expires_at, timeout, max_attempts, meta, group_id,
    callbacks, after, run_if, results_as, concurrency_key, max_running, fair_key, rate)
SELECT
    r.task, coalesce(c.args, '[]'), coalesce(c.kwargs, '{}'), coalesce(r.queue, 'default'),
    coalesce(r.priority, 0),
    coalesce(r.run_at, clock_timestamp() + make_interval(secs => r.run_in)),
    coalesce(r.expires_at, clock_timestamp() + make_interval(secs => r.expires_in)),
    make_interval(secs => r.timeout), r.max_attempts, r.meta, r.group_id, r.callbacks, r.after,
    r.run_if, r.results_as, r.concurrency_key, r.max_running, r.fair_key, r.rate
FROM jsonb_to_recordset(CAST(CAST(%(runs)s AS text) AS jsonb)) AS r (
    task text, args jsonb, kwargs jsonb, queue text, priority smallint, run_at timestamptz,
    run_in double precision, expires_at timestamptz, expires_in double precision,
    timeout double precision, max_attempts smallint, meta jsonb, group_id bigint, callbacks jsonb,
    after bigint[], run_if text, results_as text, concurrency_key text, max_running integer,
    fair_key text, rate text
)
CROSS JOIN LATERAL
    ROWS FROM (jsonb_array_elements(r.args), jsonb_array_elements(r.kwargs)) AS c (args, kwargs)
RETURNING id
"""

#: Columns that say how a unique key is kept.
UNIQUENESS: Final = ("unique_while", "unique_for", "on_duplicate")


_DATED: Final = ", EXTRACT(EPOCH FROM created_at)"


def enqueue(job: JobSpec) -> Statement[int]:
    """Insert one job that has no unique key; gives its id."""
    params = columns_of(job.options)
    params["task"] = job.task
    _set_concurrency(params, job)
    if job.args != "[]":
        params["args"] = job.args
    if job.kwargs != "{}":
        params["kwargs"] = job.kwargs
    return Statement(text=_insert(tuple(params)), params=params, decode=first_int)


def enqueue_dated(job: JobSpec) -> Statement[tuple[Enqueued, datetime]]:
    """Insert one job; gives what became of it, and when the one that there is now was enqueued, by
    the server's clock."""
    if job.unique_key is not None:
        # One that the call has just inserted is not seen by the statement around it.
        return Statement(
            text="SELECT e.job_id, e.duplicate, EXTRACT(EPOCH FROM coalesce((SELECT j.created_at"
            " FROM pgqueue.jobs AS j WHERE j.id = e.job_id), clock_timestamp()))"
            " FROM pgqueue.enqueue_each(CAST(CAST(%(jobs)s AS text) AS jsonb)) AS e",
            params={"jobs": _sized(f"[{object_of(job)}]")},
            decode=lambda rows: (_enqueued(rows)[0], as_moment(rows[0][2])),
        )
    plain = enqueue(job)
    return Statement(
        text=plain.text + _DATED,
        params=plain.params,
        decode=lambda rows: (Enqueued(as_int(rows[0][0]), False), as_moment(rows[0][1])),
    )


def enqueue_many(jobs: Sequence[JobSpec]) -> Statement[list[int]]:
    """Insert many jobs that have no unique keys with one statement; gives their ids in order.

    Raises:
        RefusedJobError: they are too large for one statement.
    """
    text = _sized("[" + ",".join(_runs(jobs)) + "]")
    return Statement(text=_MANY, params={"runs": text}, decode=_ids)


def enqueue_each(jobs: Iterable[JobSpec]) -> Statement[list[Enqueued]]:
    """Insert jobs that may be duplicates; gives what became of each, in order.

    Raises:
        RefusedJobError: they are too large for one statement.
    """
    text = _sized("[" + ",".join([object_of(job) for job in jobs]) + "]")
    return Statement(
        text="SELECT e.job_id, e.duplicate"
        " FROM pgqueue.enqueue_each(CAST(CAST(%(jobs)s AS text) AS jsonb)) AS e",
        params={"jobs": text},
        decode=_enqueued,
    )


def uniqueness_of(options: EnqueueOptions) -> dict[str, str]:
    """Give the columns that say how a unique key is kept, as text; only those that are set."""
    found: dict[str, str] = {}
    if options.unique_while is not None:
        found["unique_while"] = options.unique_while
    if options.unique_for is not None:
        found["unique_for"] = f"{options.unique_for.total_seconds():.6f} seconds"
    if options.on_duplicate is not None:
        found["on_duplicate"] = options.on_duplicate
    return found


def columns_of(options: EnqueueOptions) -> dict[str, str | None]:
    """Give the parameters that a job's options set, as text, by the names of ``NEW``.

    Raises:
        ConfigurationError: run_at and expires together leave the calendar.
    """
    params: dict[str, str | None] = {}
    if options.queue is not None:
        params["queue"] = options.queue
    if options.priority is not None:
        params["priority"] = str(options.priority)
    if options.run_at is not None or options.expires is not None:
        _set_times(params, options)
    if options.expires_at is not None:
        params["expires_at"] = options.expires_at.isoformat()
    if options.timeout is not None:
        params["timeout"] = repr(options.timeout)
    if options.max_attempts is not None:
        params["max_attempts"] = str(options.max_attempts)
    if options.meta is not None:
        params["meta"] = codec.dumps(options.meta, path="$.meta", name="meta").decode()
    if options.group is not None:
        params["group_id"] = str(options.group)
    callbacks = callbacks_of(options)
    if callbacks:
        params["callbacks"] = codec.dumps(callbacks, path="$", name="callbacks").decode()
    if options.after:
        params["after"] = "{" + ",".join(map(str, options.after)) + "}"
        params["run_if"] = options.run_if
        params["results_as"] = options.results
    return params


def _set_times(params: dict[str, str | None], options: EnqueueOptions) -> None:
    delay = 0.0
    if options.run_at is not None:
        if isinstance(options.run_at, datetime):
            params["run_at"] = options.run_at.isoformat()
            if options.expires is not None:
                try:
                    params["expires_at"] = (options.run_at + options.expires).isoformat()
                except OverflowError:
                    raise ConfigurationError(
                        "run_at and expires together must lie before the year 10000"
                    ) from None
            return
        delay = options.run_at.total_seconds()
        if delay:
            params["run_in"] = repr(delay)
    if options.expires is not None:
        params["expires_in"] = repr(delay + options.expires.total_seconds())


def _runs(jobs: Iterable[JobSpec]) -> Iterable[str]:
    """Write jobs as JSON objects, one for each stretch of jobs that differ by arguments only."""
    heads: dict[tuple[str, int, str | None, str | None], str] = {}
    for key, run in groupby(
        jobs, key=lambda job: (job.task, id(job.options), job.concurrency_key, job.fair_key)
    ):
        members = list(run)
        head = heads.get(key)
        if head is None:
            params = columns_of(members[0].options) | {"task": key[0]}
            _set_concurrency(params, members[0])
            head = heads[key] = _head(params)
        args = ",".join([job.args for job in members])
        kwargs = ""
        if any(job.kwargs != "{}" for job in members):
            kwargs = ',"kwargs":[' + ",".join([job.kwargs for job in members]) + "]"
        yield f'{head},"args":[{args}]{kwargs}}}'


def object_of(job: JobSpec) -> str:
    """Write one job as a JSON object, as `pgqueue.enqueue_each` takes it."""
    params = columns_of(job.options) | {"task": job.task}
    _set_concurrency(params, job)
    if "timeout" in params:
        params["timeout"] = f"{float(params['timeout'] or 0):.6f} seconds"
    if job.unique_key is not None:
        params |= {"unique_key": job.unique_key, **uniqueness_of(job.options)}
    return f'{_head(params)},"args":{job.args},"kwargs":{job.kwargs}}}'


def flow_item(job: JobSpec, *, name: str | None, after: Sequence[int], **more: str | None) -> str:
    """Write one job as a JSON object, as `pgqueue.enqueue_flow` takes it.

    Args:
        name: what the flow calls it.
        after: places of those that it runs after.
        more: `run_if` and `results_as`.
    """
    params = columns_of(job.options) | {"task": job.task, **_set(more)}
    if "timeout" in params:
        params["timeout"] = f"{float(params['timeout'] or 0):.6f} seconds"
    if name is not None:
        params["name"] = name
    results = 1 if more.get("results_as") == "list" else len(after)
    params |= _set(line_of(job, results if more.get("results_as") else 0))
    places = f',"after":[{",".join(map(str, after))}]' if after else ""
    return f'{_head(params)}{places},"args":{job.args},"kwargs":{job.kwargs}}}'


def _set(values: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: value for name, value in values.items() if value is not None}


def _head(params: dict[str, str | None]) -> str:
    """Write columns as a JSON object that is not closed yet."""
    plain = {name: value for name, value in params.items() if name not in _JSON}
    raw = "".join(f',"{name}":{params[name]}' for name in _JSON if name in params)
    return quoted(plain)[:-1] + raw


def _set_concurrency(params: dict[str, str | None], job: JobSpec) -> None:
    if job.fair_key is not job.concurrency_key:
        params |= _set(line_of(job))


def line_of(job: JobSpec, results: int | None = None) -> dict[str, str | None]:
    """Give the limits of a job, where it is given so many results before its arguments."""
    line, turn = (None, None) if results is None or job.keys is None else job.keys(results)
    found: dict[str, str | None] = {"fair_key": job.fair_key if turn is None else turn}
    found["concurrency_key"] = job.concurrency_key if line is None else line
    if found["concurrency_key"] is not None:
        limit = job.options.max_running
        found |= {"max_running": None if limit is None else str(limit), "rate": job.options.rate}
    return found


def _sized(text: str) -> str:
    if len(text) > MAX_MANY_BYTES:
        raise RefusedJobError(
            f"enqueue_many() can send at most {MAX_MANY_BYTES} bytes of JSON at once; got "
            f"{len(text)}; send fewer jobs a call, or use copy_many()"
        )
    return text


@lru_cache(maxsize=1024)
def _insert(names: tuple[str, ...]) -> LiteralString:
    columns = ", ".join([NEW[name][0] for name in names])
    values = ", ".join([NEW[name][1] for name in names])
    # Put together from the table above only.
    return "INSERT INTO pgqueue.jobs (" + columns + ") VALUES (" + values + ") RETURNING id"  # noqa: S608


def _enqueued(rows: Rows) -> list[Enqueued]:
    return [Enqueued(as_int(row[0]), bool(row[1])) for row in rows]


def _ids(rows: Rows) -> list[int]:
    return [as_int(row[0]) for row in rows]
