"""What jobs say is sent in order, whichever thread of a child sends it."""

import threading

from pgqueue.worker.execution import Ticket
from pgqueue.worker.notes import Notes


def test_no_end_of_a_job_overtakes_what_it_has_said() -> None:
    ticket = Ticket(batch_no=1, job_id=7, attempt=1)
    order: list[str] = []
    ended = threading.Event()

    def end() -> None:
        # A slot, whose job has ended: first what it has said, then its answer.
        notes.flush_of(ticket)
        order.append("answer")
        ended.set()

    slot = threading.Thread(target=end)

    def send(frame: bytes) -> None:
        # The reader has taken the lines and is about to write them. Nobody can prove that the
        # other thread never comes; without the lock it does so at once.
        slot.start()
        ended.wait(timeout=0.5)
        order.append("lines")

    notes = Notes(send, nudge=lambda: None)
    notes.log(ticket, "info", "a line")
    notes.flush_due()
    slot.join(timeout=60)
    assert order == ["lines", "answer"]
