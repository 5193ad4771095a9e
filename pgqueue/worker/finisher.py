"""The outcomes on their way into the database: kept until the server has said that it has them."""

import json
import logging
import random
import time
from collections import deque
from typing import Any, Final, get_args

from pgqueue.core.errors import DuplicateJobError, QueueFullError, RefusedJobError
from pgqueue.db import worker_calls
from pgqueue.db.session import Session, StatementError
from pgqueue.worker.children import Casualty
from pgqueue.worker.frames import Answer
from pgqueue.worker.stats import Stats

log = logging.getLogger("pgqueue.worker")

_MAX_BYTES = 8 << 20
#: Seconds until an outcome is sent again whose row somebody holds.
_AGAIN = 0.05
_UNSTORABLE = "the result could not be stored; the server refused it"

#: What the server may say of outcomes: it cannot store them, or refuses the job of a callback.
Refusal = StatementError | RefusedJobError | QueueFullError | DuplicateJobError
REFUSALS: Final = get_args(Refusal)


def is_about_data(error: Refusal) -> bool:
    """Tell whether the outcomes were at fault, so that sending fewer may help."""
    return not isinstance(error, StatementError) or error.is_about_data


class Finisher:
    """Collect answers, and hand them to the next `work()`.

    Args:
        stats: where refused outcomes are counted.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._waiting: deque[Answer] = deque()
        self._locked: list[Answer] = []
        self._locked_until = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._locked)

    @property
    def next_in(self) -> float | None:
        """Seconds until there is something to send: 0 for now, None while there is nothing."""
        if self._waiting:
            return 0.0
        return max(0.0, self._locked_until - time.monotonic()) if self._locked else None

    def add(self, answer: Answer) -> None:
        """Take an answer of a child."""
        if not answer.document:
            self._stats.jobs += answer.started
            return
        self._waiting.append(answer)

    def add_casualties(self, casualties: list[Casualty], how: str) -> None:
        """Take what a dead child held: what ran has crashed, what had begun was interrupted, the
        rest goes back untouched."""
        by_batch: dict[int, list[Casualty]] = {}
        for casualty in casualties:
            by_batch.setdefault(casualty.batch_no, []).append(casualty)
        together = sum(casualty.fate == "crashed" for casualty in casualties)
        for batch_no, group in by_batch.items():
            rest = [_of_casualty(one, how, together) for one in group]
            document = {"batch": batch_no, "rest": rest}
            self.add(
                Answer(
                    batch_no=batch_no,
                    ids=[one.job_id for one in group],
                    started=0,
                    busy_us=0,
                    document=json.dumps(document).encode(),
                    # It may have finished a job by a transaction of its own before it died.
                    unsure=True,
                )
            )

    def give_back(self, batches: dict[int, list[int]]) -> None:
        """Give jobs back that no child has seen."""
        for batch_no, ids in batches.items():
            rest = [{"id": job, "state": "unstarted"} for job in ids]
            document = json.dumps({"batch": batch_no, "rest": rest}).encode()
            self.add(Answer(batch_no=batch_no, ids=ids, started=0, busy_us=0, document=document))

    def holds(self) -> dict[int, int]:
        """Give the batch of every job whose outcome waits to be written down."""
        kept = (*self._waiting, *self._locked)
        return {job: answer.batch_no for answer in kept for job in answer.ids}

    def clear(self) -> None:
        """Drop everything: this worker's jobs are not its own any more."""
        self._waiting.clear()
        self._locked.clear()

    def take(self) -> list[Answer]:
        """Give the answers to send now, bounded in bytes; what is not sent must be put back."""
        if self._locked and time.monotonic() >= self._locked_until:
            self._waiting.extend(self._locked)
            self._locked.clear()
        taken: list[Answer] = []
        size = 0
        while self._waiting and size < _MAX_BYTES:
            answer = self._waiting.popleft()
            size += len(answer.document)
            taken.append(answer)
        return taken

    def put_back(self, answers: list[Answer]) -> None:
        """Keep answers whose fate is not known: sent again, those stored already are refused."""
        self._waiting.extendleft(reversed(answers))

    def stored(
        self, answers: list[Answer], refused: list[int], again: list[int], *, resent: bool
    ) -> None:
        """Note what the server said about answers it was sent.

        Args:
            refused: not ours any more; after a lost reply that mostly means stored already.
            again: locked by somebody just now; they are sent once more, a moment later.
        """
        self._stats.jobs += sum(answer.started for answer in answers)
        unsure = {job for answer in answers if answer.unsure for job in answer.ids}
        refused = [job for job in refused if job not in unsure]
        if refused and not resent:
            self._stats.lost_leases += len(refused)
            log.warning("lease lost: %d outcomes dropped, jobs %s", len(refused), _some(refused))
        if again:
            wanted = set(again)
            cut = [_only(one, wanted) for one in answers if wanted.intersection(one.ids)]
            self._stats.jobs -= sum(answer.started for answer in cut)
            self._locked += cut
            self._locked_until = time.monotonic() + _AGAIN

    async def store_one_by_one(
        self, session: Session, worker_id: int, batch_no: int, answers: list[Answer]
    ) -> None:
        """Store answers of which the server refused at least one: each alone, then each job of
        the bad one alone, and what still cannot be stored as a failure that says so."""
        left = deque(answers)
        try:
            while left:
                if not await self._try(session, worker_id, batch_no, left[0]):
                    await self._store_each(session, worker_id, batch_no, left[0])
                left.popleft()
        except BaseException:
            self.put_back(list(left))
            raise

    async def _store_each(
        self, session: Session, worker_id: int, batch_no: int, answer: Answer
    ) -> None:
        for job in answer.ids:
            if not await self._try(session, worker_id, batch_no, _only(answer, {job})):
                log.error("job %d: %s", job, _UNSTORABLE)
                if not await self._try(session, worker_id, batch_no, _unstorable(answer, job)):
                    log.error("job %d: nor could it be stored as failed; it stays running", job)

    async def _try(self, session: Session, worker_id: int, batch_no: int, answer: Answer) -> bool:
        try:
            reply = await worker_calls.work(
                session, worker_id, batch_no, b"{}", 0, [answer.document], None, 0
            )
        except REFUSALS as error:
            if not is_about_data(error):
                raise
            return False
        self.stored([answer], reply.refused, reply.again, resent=False)
        return True


def _of_casualty(one: Casualty, how: str, together: int) -> dict[str, Any]:
    found: dict[str, Any] = {"id": one.job_id, "state": one.fate}
    if one.fate == "crashed":
        found |= {"kind": "crashed", "message": f"the process that ran it ended: {how}"}
        if together > 1:
            # They part ways, lest the innocent meet the culprit each time.
            found["delay"] = round(random.random(), 3)
    elif one.fate == "cancelled" and one.slot is not None:
        found["us"] = int((time.monotonic() - one.slot.started) * 1_000_000)
    elif one.fate == "overdue" and one.slot is not None:
        limit = one.slot.deadline - one.slot.started
        found |= {
            "state": "failed" if one.slot.retry_in < 0 else "retry",
            "delay": max(0.0, one.slot.retry_in),
            "us": int((time.monotonic() - one.slot.started) * 1_000_000),
            "kind": "pgqueue.JobTimeout",
            "message": f"the limit of {limit:g} seconds was passed; the process was killed",
        }
    return found


def _only(answer: Answer, wanted: set[int]) -> Answer:
    """Cut an answer down to some of its jobs; this is the one place that opens an answer."""
    opened = json.loads(answer.document)
    ids = [job for job in answer.ids if job in wanted]
    ok = [int(job) for job in opened.get("ok", "{}")[1:-1].split(",") if job]
    us = [int(took) for took in opened.get("us", "{}")[1:-1].split(",") if took]
    kept = [(job, took) for job, took in zip(ok, us, strict=True) if job in wanted]
    opened["ok"] = "{" + ",".join(str(job) for job, _ in kept) + "}"
    opened["us"] = "{" + ",".join(str(took) for _, took in kept) + "}"
    opened["rest"] = [one for one in opened.get("rest", []) if one["id"] in wanted]
    return Answer(
        batch_no=answer.batch_no,
        ids=ids,
        started=min(answer.started, len(ids)),
        busy_us=0,
        document=json.dumps(opened).encode(),
        unsure=answer.unsure,
    )


def _unstorable(answer: Answer, job: int) -> Answer:
    document = {
        "batch": answer.batch_no,
        "rest": [
            {"id": job, "state": "failed", "kind": "ResultNotStorable", "message": _UNSTORABLE}
        ],
    }
    return Answer(
        batch_no=answer.batch_no,
        ids=[job],
        started=1,
        busy_us=0,
        document=json.dumps(document).encode(),
    )


def _some(ids: list[int]) -> str:
    shown = ", ".join(map(str, ids[:10]))
    return f"{shown} and {len(ids) - 10} more" if len(ids) > 10 else shown
