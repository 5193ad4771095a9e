"""The lines of a COPY into the jobs table: the fastest way in, without ids."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from pgqueue.core.errors import ConfigurationError
from pgqueue.db.statements.adding import UNIQUENESS, JobSpec, columns_of, uniqueness_of
from pgqueue.db.statements.base import Rows, Statement, as_moment

COPY: Final = (
    "COPY pgqueue.jobs (task, args, kwargs, queue, priority, run_at, expires_at, timeout,"
    " max_attempts, meta, group_id, callbacks, after, run_if, results_as, unique_key, unique_while,"
    " unique_for, on_duplicate, concurrency_key, max_running, rate, fair_key) FROM STDIN"
)

_LINES_AT_ONCE: Final = 1000
_NULL: Final = "\\N"
_NO_KEY: Final = f"\t{_NULL}" * 4
_NO_LINE: Final = f"\t{_NULL}" * 4 + "\n"
# What COPY's text format gives a meaning of its own. JSON has no bare tab or line end in it.
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def server_time() -> Statement[datetime]:
    """Read the server's clock, from which a COPY must count relative times itself."""
    return Statement(
        text="SELECT EXTRACT(EPOCH FROM clock_timestamp())", params={}, decode=_first_time
    )


def lines(jobs: Iterable[JobSpec], now: datetime) -> Iterator[tuple[str, int]]:
    """Write jobs as lines of COPY's text format, many at a time.

    Args:
        jobs: the jobs; read as they are needed.
        now: the server's time, the beginning of relative ones.

    Yields:
        Text, and how many jobs are in it.

    Raises:
        ConfigurationError: a time leaves the calendar.
    """
    source = iter(jobs)
    ends: tuple[str, str, str] = ("", "", "")
    last: JobSpec | None = None
    while batch := list(islice(source, _LINES_AT_ONCE)):
        written = []
        for job in batch:
            if last is None or job.options is not last.options or job.task != last.task:
                ends = _ends(job, now)
                last = job
            written.append(
                f"{ends[0]}{job.args.translate(_ESCAPES)}\t"
                f"{job.kwargs.translate(_ESCAPES)}{ends[1]}"
                f"{_NO_KEY if job.unique_key is None else _key(job, ends[2])}"
                f"{_NO_LINE if job.concurrency_key is job.fair_key else _line(job)}"
            )
        yield "".join(written), len(batch)


def _key(job: JobSpec, rest: str) -> str:
    return f"\t{(job.unique_key or '').translate(_ESCAPES)}{rest}"


def _line(job: JobSpec) -> str:
    limit, rate = job.options.max_running, job.options.rate
    most = None if limit is None else str(limit)
    return _fields((job.concurrency_key, most, rate, job.fair_key)) + "\n"


def _ends(job: JobSpec, now: datetime) -> tuple[str, str, str]:
    """Give what stands before and behind the arguments in a line, and behind a unique key."""
    params = columns_of(job.options)
    for name, column in (("run_in", "run_at"), ("expires_in", "expires_at")):
        seconds = params.get(name)
        if seconds is not None:
            params[column] = _later(now, float(seconds), column)
    timeout = params.get("timeout")
    tail = (
        params.get("queue") or "default",
        params.get("priority") or "0",
        params.get("run_at"),
        params.get("expires_at"),
        None if timeout is None else f"{float(timeout):.6f} seconds",
        params.get("max_attempts"),
        params.get("meta"),
        params.get("group_id"),
        params.get("callbacks"),
        params.get("after"),
        params.get("run_if"),
        params.get("results_as"),
    )
    unique = [uniqueness_of(job.options).get(name) for name in UNIQUENESS]
    return job.task.translate(_ESCAPES) + "\t", _fields(tail), _fields(unique)


def _fields(values: Iterable[str | None]) -> str:
    written = [_NULL if value is None else value.translate(_ESCAPES) for value in values]
    return "\t" + "\t".join(written)


def _later(now: datetime, seconds: float, name: str) -> str:
    try:
        return (now + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        raise ConfigurationError(f"{name} must lie before the year 10000") from None


def _first_time(rows: Rows) -> datetime:
    return as_moment(rows[0][0])
