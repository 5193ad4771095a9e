"""Workers with one thing wrong: `python -m tests.faults.mutated worker …`, as `python -m pgqueue`.

`PGQUEUE_FAULTS_MUTANT` says which; a part is exchanged in the supervisor before it begins, or in
the zygote before it forks (`tasks.py` asks for that).
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Patch = Callable[[], None]


def _answer_before_run() -> None:
    from pgqueue.worker.frames import Answer
    from pgqueue.worker.pool import Pool

    honest = Pool.give

    def give(self: Any, child: Any, batch_no: int, ids: list[int], *rest: Any, **more: Any) -> bool:
        given = honest(self, child, batch_no, ids, *rest, **more)
        document = {
            "batch": batch_no,
            "ok": f"{{{','.join(map(str, ids))}}}",
            "us": f"{{{','.join('1' for _ in ids)}}}",
            "rest": [],
        }
        self._on_answer(
            Answer(
                batch_no=batch_no,
                ids=list(ids),
                started=len(ids),
                busy_us=1,
                document=json.dumps(document).encode(),
            )
        )
        return given

    Pool.give = give  # type: ignore[method-assign]


def _deal_twice() -> None:
    from pgqueue.worker import pool

    honest = pool.pack_batch
    pool.pack_batch = lambda *words: honest(*words) * 2  # type: ignore[assignment]


def _held_unheard() -> None:
    from pgqueue.worker.membership import Membership

    async def reconcile(*_words: Any) -> None:
        return None

    Membership.reconcile = reconcile  # type: ignore[method-assign]


def _drop_casualties() -> None:
    from pgqueue.worker.finisher import Finisher

    Finisher.add_casualties = lambda *_: None  # type: ignore[method-assign]


def _drop_on_lost_reply() -> None:
    from pgqueue.worker.finisher import Finisher

    Finisher.put_back = lambda *_: None  # type: ignore[method-assign]


def _drop_locked() -> None:
    from pgqueue.worker.finisher import Finisher

    honest = Finisher.stored

    def stored(
        self: Any, answers: list[Any], refused: list[int], _again: list[int], **more: Any
    ) -> None:
        honest(self, answers, refused, [], **more)

    Finisher.stored = stored  # type: ignore[method-assign]


def _started_told_as_unstarted() -> None:
    from pgqueue.worker.children import ChildProcess

    ChildProcess._fate = lambda *_: "unstarted"  # type: ignore[method-assign,assignment,return-value]


def _no_rescue() -> None:
    from pgqueue.db import worker_calls

    async def rescue(*_words: Any) -> tuple[int, int]:
        return 0, 0

    worker_calls.rescue = rescue


def _no_promotion() -> None:
    from pgqueue.db import worker_calls

    async def promote(*_words: Any) -> Any:
        return worker_calls.Promotion(moved=0, due_in=None, reached=None)

    worker_calls.promote = promote


def _no_heartbeat() -> None:
    from pgqueue.db import worker_calls

    async def beat(session: Any, _worker_id: int, queues: bytes, leads: bool) -> Any:
        # Somebody else's sign of life: our own is never stored.
        found = await honest(session, 0, queues, leads)
        return worker_calls.Beat(
            known=True, waiting=found.waiting, leader=found.leader, locked=found.locked, cancels=[]
        )

    honest = worker_calls.beat
    worker_calls.beat = beat


def _no_self_fence() -> None:
    from pgqueue.worker.lease import Lease

    Lease.is_over = lambda _self: False  # type: ignore[method-assign]


def _never_listens() -> None:
    from pgqueue.db import worker_calls

    honest = worker_calls.listen

    async def listen(session: Any, worker_id: int, **more: Any) -> bool:
        held = await honest(session, worker_id, **more)
        await session.call("UNLISTEN pgqueue")
        return held

    worker_calls.listen = listen


def _failure_told_as_success() -> None:
    from pgqueue.core.outcome import Succeeded
    from pgqueue.worker import execution

    execution.decide = lambda *_: Succeeded()


#: In the supervisor.
SUPERVISOR: dict[str, Patch] = {
    "answer before run": _answer_before_run,
    "batch dealt twice": _deal_twice,
    "lost reply never reconciled": _held_unheard,
    "casualties dropped": _drop_casualties,
    "outcomes dropped with the connection": _drop_on_lost_reply,
    "locked outcomes dropped": _drop_locked,
    "started told as unstarted": _started_told_as_unstarted,
    "nobody rescues": _no_rescue,
    "nobody promotes": _no_promotion,
    "no heartbeat": _no_heartbeat,
    "no self-fence": _no_self_fence,
    "never listens": _never_listens,
}

#: In the zygote and its children.
CHILD: dict[str, Patch] = {"failure told as success": _failure_told_as_success}


def apply(name: str, where: str) -> None:
    """Exchange the part, if it lives there."""
    patch = (SUPERVISOR if where == "supervisor" else CHILD).get(name)
    if patch is not None:
        patch()


if __name__ == "__main__":
    apply(os.environ["PGQUEUE_FAULTS_MUTANT"], "supervisor")

    from pgqueue.__main__ import main

    sys.exit(main())
