"""What a worker asks of the server, one function a call, over a `Session`.

Text in, text out: job ids are cut from PostgreSQL's own array form, payloads stay bytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pgqueue.db.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkReply:
    """What `pgqueue.work` gave.

    Attributes:
        ids: the jobs taken, in the order of the payload.
        payload: one JSON line a job, unopened.
        hint: where this worker stands, for the next call.
        refused: jobs of the outcomes that were not this worker's any more.
        again: jobs whose outcome must be sent again.
        drained: nothing more was to be had.
    """

    ids: list[int]
    payload: bytes
    hint: bytes | None
    refused: list[int]
    again: list[int]
    drained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What `pgqueue.beat` told.

    Attributes:
        known: false when the worker was given up as lost.
        waiting: a job could be taken.
        leader: this worker should promote, rescue and prune.
        locked: this session holds the leader lock.
        cancels: jobs the worker holds that should stop.
    """

    known: bool
    waiting: bool
    leader: bool
    locked: bool
    cancels: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What `pgqueue.promote` did.

    Attributes:
        due_in: seconds until the next job falls due, or None.
        reached: the floor for the next call.
        fire_in: seconds until a schedule is due, or None.
    """

    moved: int
    due_in: float | None
    reached: bytes | None
    fire_in: float | None = None


def array_of(values: Iterable[str]) -> bytes:
    """Write a text array as PostgreSQL reads it."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return ("{" + ",".join(quoted) + "}").encode()


def _ids(value: bytes | None) -> list[int]:
    if value is None or value == b"{}":
        return []
    return list(map(int, value[1:-1].split(b",")))


def _number(value: float) -> bytes:
    return repr(value).encode()


async def work(
    session: Session,
    worker_id: int,
    batch_no: int,
    queues: bytes,
    max_jobs: int,
    outcomes: Sequence[bytes],
    hint: bytes | None,
    max_bytes: int,
    *,
    full_scan: bool = False,
) -> WorkReply:
    """Store outcomes and take the next batch: `pgqueue.work`.

    Args:
        queues: a text array, from `array_of`.
        outcomes: JSON objects, unopened; none for no outcome.
        hint: from the last reply, or None for none.
        full_scan: look from zero all the same.
    """
    joined = b"[" + b",".join(outcomes) + b"]" if outcomes else None
    ((ids, payload, found, refused, again, drained),) = await session.call(
        "SELECT job_ids, payload, hint_out, refused, again, drained"
        " FROM pgqueue.work($1::bigint, $2::bigint, $3::text[], $4::integer, $5::text, $6::text,"
        " $7::bigint, $8::boolean)",
        [
            b"%d" % worker_id, b"%d" % batch_no, queues, b"%d" % max_jobs, joined, hint,
            b"%d" % max_bytes, b"t" if full_scan else b"f",
        ],
        prepare=True,
    )  # fmt: skip
    return WorkReply(
        ids=_ids(ids),
        payload=payload or b"",
        hint=found,
        refused=_ids(refused),
        again=_ids(again),
        drained=drained == b"t",
    )


async def register(
    session: Session,
    *,
    name: str,
    queues: bytes,
    hostname: str,
    pid: int,
    processes: int,
    threads: int,
    version: str,
    lease: float,
) -> int:
    """Make the worker known: `pgqueue.register_worker`."""
    ((found,),) = await session.call(
        "SELECT pgqueue.register_worker($1::text, $2::text[], $3::text, $4::integer, $5::integer,"
        " $6::integer, $7::text, make_interval(secs => $8::float8))",
        [
            name.encode(), queues, hostname.encode(), b"%d" % pid, b"%d" % processes,
            b"%d" % threads, version.encode(), _number(lease),
        ],
    )  # fmt: skip
    return int(found or 0)


async def forget(session: Session, worker_id: int) -> int:
    """Say good-bye: `pgqueue.forget_worker`; gives how many jobs went back."""
    ((found,),) = await session.call(
        "SELECT pgqueue.forget_worker($1::bigint)", [b"%d" % worker_id]
    )
    return int(found or 0)


async def held(session: Session, worker_id: int, batch_no: int) -> dict[int, int]:
    """Ask what the database thinks this worker holds: the batch of each job.

    Args:
        batch_no: the last number that was used; a call of `work` with it that is still on its way
            comes to nothing.
    """
    rows = await session.call(
        "SELECT job_id, batch_no FROM pgqueue.held($1::bigint, $2::bigint)",
        [b"%d" % worker_id, b"%d" % batch_no],
    )
    return {int(job or 0): int(batch or 0) for job, batch in rows}


async def listen(session: Session, worker_id: int, *, hold: bool = True) -> bool:
    """Listen, and tie the worker's life to this session, unless told not to hold that lock; gives
    whether it was got."""
    await session.call("LISTEN pgqueue")
    await session.call("LISTEN pgqueue_control")
    if not hold:
        return False
    ((found,),) = await session.call(
        "SELECT pgqueue.hold_liveness($1::bigint)", [b"%d" % worker_id]
    )
    return found == b"t"


async def beat(session: Session, worker_id: int, queues: bytes, leads: bool | None) -> Beat:
    """Give a sign of life and hear the news: `pgqueue.beat`.

    Args:
        leads: whether this session holds the leader lock; None for one that should not take it.
            A shared one cannot hold any.
    """
    lead = None if session.shared or leads is None else b"t" if leads else b"f"
    ((known, waiting, leader, locked, cancels),) = await session.call(
        "SELECT known, waiting, leader, locked, cancels"
        " FROM pgqueue.beat($1::bigint, $2::text[], $3::boolean)",
        [b"%d" % worker_id, queues, lead],
        prepare=True,
    )
    return Beat(
        known=known == b"t",
        waiting=waiting == b"t",
        leader=leader == b"t",
        locked=locked == b"t",
        cancels=_ids(cancels),
    )


async def probe(session: Session, mark: str) -> None:
    """Send a notification to ourselves, to see whether notifications arrive."""
    await session.call("SELECT pg_notify('pgqueue_control', $1::text)", [mark.encode()])


async def listen_for(session: Session, token: str) -> None:
    """Listen on a channel that nobody else knows.

    Args:
        token: of hexadecimal digits.
    """
    await session.call(f"LISTEN pgqueue_{int(token, 16):x}")


async def unlisten_for(session: Session, token: str) -> None:
    """End `listen_for`."""
    await session.call(f"UNLISTEN pgqueue_{int(token, 16):x}")


async def ring_for(session: Session, token: str, mark: str) -> None:
    """Notify the channel of `listen_for`."""
    await session.call(
        "SELECT pg_notify($1::text, $2::text)",
        [f"pgqueue_{int(token, 16):x}".encode(), mark.encode()],
    )


async def identity(session: Session) -> bytes:
    """Name the database a session is in as no other database would be named."""
    ((found,),) = await session.call(
        "SELECT concat_ws('/', s.system_identifier, d.oid)"
        " FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()"
    )
    return found or b""


async def breaking_version(session: Session) -> int:
    """Give the newest version of the schema that does not bear workers of versions before it."""
    ((found,),) = await session.call(
        "SELECT coalesce(max(version), 0) FROM pgqueue.schema_versions WHERE breaking"
    )
    return int(found or 0)


async def arm(session: Session, queues: bytes, leader: bool) -> tuple[bool, bytes]:
    """Say that we are about to sleep: `pgqueue.arm`; gives whether it is armed, and the writers
    to wait for, as an array."""
    ((armed, writers),) = await session.call(
        "SELECT armed, writers FROM pgqueue.arm($1::text[], $2::boolean)",
        [queues, b"t" if leader else b"f"],
        prepare=True,
    )
    return armed == b"t", writers or b"{}"


async def still_writing(session: Session, writers: bytes) -> bool:
    """Ask whether one of the writers is still at it: `pgqueue.still_writing`."""
    ((found,),) = await session.call(
        "SELECT pgqueue.still_writing($1::text[])", [writers], prepare=True
    )
    return found == b"t"


async def waiting(session: Session, queues: bytes) -> bool:
    """Ask whether a job is ready, be it that somebody holds it just now: `pgqueue.waiting`."""
    ((found,),) = await session.call("SELECT pgqueue.waiting($1::text[])", [queues], prepare=True)
    return found == b"t"


async def disarm(session: Session, queues: bytes, leader: bool) -> None:
    """Say that we are awake: `pgqueue.disarm`."""
    await session.call(
        "SELECT pgqueue.disarm($1::text[], $2::boolean)",
        [queues, b"t" if leader else b"f"],
        prepare=True,
    )


async def promote(session: Session, floor: bytes | None) -> Promotion:
    """Make due jobs ready and end pauses whose time is over.

    A crash of the server that loses this only makes it be done again, so nobody waits for the disk.
    """
    ((moved, due_in, reached, fire_in, _resumed, _settled, _relaxed),) = await session.call(
        "SELECT p.moved, p.due_in, p.reached, pgqueue.schedules_due_in(), pgqueue.resume_due(),"
        " pgqueue.settle_unique_keys(), set_config('synchronous_commit', 'off', true)"
        " FROM pgqueue.promote(1000, $1::timestamptz) AS p",
        [floor],
        prepare=True,
    )
    return Promotion(
        moved=int(moved or 0),
        due_in=None if due_in is None else float(due_in),
        reached=reached,
        fire_in=None if fire_in is None else float(fire_in),
    )


async def tell_children(
    session: Session, worker_id: int, children: Iterable[int], replaced: int
) -> None:
    """Say which processes the worker runs jobs in: `pgqueue.tell_children`."""
    pids = "{" + ",".join(map(str, children)) + "}"
    await session.call(
        "SELECT pgqueue.tell_children($1::bigint, $2::integer[], $3::integer)",
        [b"%d" % worker_id, pids.encode(), b"%d" % replaced],
    )


async def rescue(session: Session, max_jobs: int) -> tuple[int, int]:
    """Give the jobs of lost workers back; gives how many workers and jobs."""
    ((workers, jobs),) = await session.call(
        "SELECT workers_lost, jobs_rescued FROM pgqueue.rescue($1::integer)",
        [b"%d" % max_jobs],
        prepare=True,
    )
    return int(workers or 0), int(jobs or 0)


@dataclass(slots=True, kw_only=True)
class Floors:
    """Where the last sweep ended, so that the next one need not begin at the beginning."""

    expire: bytes | None = None
    prune: bytes | None = None
    strays: bytes = b"0"
    keys: bytes = b""


async def sweep(session: Session, floors: Floors, max_jobs: int) -> int:
    """Expire, prune, file strays, sweep keys, settle cancels, tidy: one bounded batch of each.

    Returns:
        The largest of the batches, so that the caller knows whether there is more to do.
    """
    (
        (expired, expire_floor, pruned, prune_floor, filed, strays, swept, keys, *_),
    ) = await session.call(
        "SELECT e.expired, e.reached, p.deleted, p.reached, f.filed, f.reached, k.swept,"
        " k.reached, pgqueue.apply_cancels() + pgqueue.prune_schedule_runs($1::integer),"
        " pgqueue.tidy()"
        " FROM pgqueue.expire($1::integer, $2::timestamptz) AS e,"
        " pgqueue.prune($1::integer, NULL, $3::timestamptz) AS p,"
        " pgqueue.file_strays($4::bigint, 10 * $1::integer) AS f,"
        " pgqueue.sweep_unique_keys($5::text, $1::integer) AS k",
        [b"%d" % max_jobs, floors.expire, floors.prune, floors.strays, floors.keys],
        prepare=True,
    )
    floors.expire, floors.prune = expire_floor, prune_floor
    floors.strays, floors.keys = strays or b"0", keys or b""
    return max(int(expired or 0), int(pruned or 0), int(filed or 0), int(swept or 0))
