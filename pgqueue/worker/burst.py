"""The end of a worker that stops when nothing is ready any more."""

import asyncio

from pgqueue.core.errors import ConnectionLostError
from pgqueue.db import worker_calls
from pgqueue.db.session import StatementError
from pgqueue.worker.fetcher import Fetcher
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.pool import Pool


async def emptied(fetcher: Fetcher, pool: Pool, finisher: Finisher) -> None:
    """Return when nothing is ready or due, and nothing runs any more."""

    def is_empty() -> bool:
        return fetcher.drained.is_set() and not (pool.held or len(finisher))

    while True:
        await fetcher.drained.wait()
        # Asked again: while we waited for our turn, an outcome may have been stored that makes
        # the job due again, and the leader may have come before us.
        if is_empty() and await _promote_due(fetcher) and is_empty():
            return
        await asyncio.sleep(0.01)


async def _promote_due(fetcher: Fetcher) -> bool:
    """Make ready what is due; a leader may not have come to it yet, or there is none.

    Returns:
        Whether that could be done.
    """
    try:
        async with fetcher.turn:
            session = await fetcher.session()
            promotion = await worker_calls.promote(session, None)
    except ConnectionLostError:
        return False
    except StatementError as error:
        if not error.may_pass:
            raise
        return False
    if promotion.moved:
        fetcher.look("look")
    return True
