"""What a worker asks of the server about schedules, over a `Session`; see `worker_calls`."""

import datetime as dt
from collections.abc import Sequence

import orjson

from pgqueue.core.planning import Due, Plan, unreadable
from pgqueue.db.session import Session


async def due_schedules(
    session: Session, most: int, at: dt.datetime | None = None
) -> tuple[dt.datetime, list[Due], list[Plan]]:
    """Ask which schedules are due: `pgqueue.due_schedules`.

    Args:
        at: the time it is; None for the server's clock.

    Returns:
        The server's time; the schedules; and for those that cannot be read, since somebody wrote
        into the table what Python's calendar does not have, plans that say so.
    """
    ((found,),) = await session.call(
        "SELECT pgqueue.due_schedules($1::integer, coalesce($2::timestamptz, clock_timestamp()))",
        [b"%d" % most, _time(at)],
        prepare=True,
    )
    read = orjson.loads(found or b"{}")
    moment = dt.datetime.fromisoformat(read["at"]).astimezone(dt.UTC)
    due: list[Due] = []
    broken: list[Plan] = []
    for row in read["schedules"]:
        try:
            due.append(Due.from_row(row))
        except (ValueError, OverflowError, TypeError) as error:
            broken.append(unreadable(row["id"], row["revision"], moment, str(error)))
    return moment, due, broken


async def fire(
    session: Session, plans: Sequence[Plan], at: dt.datetime | None = None
) -> tuple[int, int]:
    """Carry plans out: `pgqueue.fire_schedules`; gives how many jobs were made and schedules moved.

    Args:
        at: the time it is; None for the server's clock.
    """
    ((fired, moved),) = await session.call(
        "SELECT fired, moved FROM"
        " pgqueue.fire_schedules($1::jsonb, coalesce($2::timestamptz, clock_timestamp()))",
        [orjson.dumps(plans), _time(at)],
        prepare=True,
    )
    return int(fired or 0), int(moved or 0)


async def declare(session: Session, document: bytes) -> tuple[int, int]:
    """Tell what the application declares: `pgqueue.declare_schedules`.

    Args:
        document: an object with modules and schedules.

    Returns:
        How many schedules are new or changed, and how many are declared no more.
    """
    ((changed, withdrawn),) = await session.call(
        "SELECT d.changed, d.withdrawn FROM (SELECT $1::jsonb AS told) AS t,"
        " pgqueue.declare_schedules(ARRAY(SELECT jsonb_array_elements_text(t.told -> 'modules')),"
        " t.told -> 'schedules') AS d",
        [document],
    )
    return int(changed or 0), int(withdrawn or 0)


def _time(at: dt.datetime | None) -> bytes | None:
    return None if at is None else at.isoformat().encode()
