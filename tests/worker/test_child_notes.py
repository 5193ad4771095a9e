"""What tasks say of themselves, and the time they ask for, in a child alone."""

import json

from tests.helpers import PATIENCE
from tests.worker.child_host import Host, line


def test_a_chatty_task_sends_little() -> None:
    with Host() as child:
        child.send(line(1, "chatter", 2000), line(2, "noop"))
        assert child.wait(1, 2)[0]["result"] == 2000
        lines = [note for note in child.notes if "message" in note]
        assert [note["n"] for note in lines] == list(range(1, 501))
        assert lines[498]["message"] == "line 498"
        assert lines[499]["message"] == "this attempt logs more lines than are kept"
        progress = [note for note in child.notes if "fraction" in note]
        assert progress[-1] == {"id": 1, "fraction": 1999 / 2000, "note": "1999"}
        assert len(progress) < 200
        assert child.quit() == 0


def test_more_time_is_given_when_asked_for() -> None:
    with Host(threads=2) as child:
        jobs = ["take_longer", "atake_longer", "extend_nothing", "take_longer"]
        child.send(*(line(number, name) for number, name in enumerate(jobs, 1)))
        ends = child.wait(1, 2, 3, 4)
        assert [end.get("result") for end in ends] == [True, True, None, True], json.dumps(ends)
        assert child.quit() == 0


def test_the_supervisor_sees_the_new_limit() -> None:
    with Host() as child:
        child.send(line(1, "take_longer"))
        limits = set()
        while 1 not in child.outcomes:
            limits |= {round(s.deadline - s.started) for s in child.slots.read() if s.deadline}
            child._socket.settimeout(0.02)
            try:
                child.hear()
            except TimeoutError:
                continue
        child._socket.settimeout(PATIENCE)
        assert max(limits) == 60
        assert child.quit() == 0


def test_less_time_is_taken_when_asked_for() -> None:
    with Host(threads=2) as child:
        child.send(line(1, "take_less"), line(2, "atake_less"), line(3, "noop"))
        ends = child.wait(1, 2, 3)
        assert [end.get("kind") for end in ends] == [
            "pgqueue.JobTimeout",
            "pgqueue.JobTimeout",
            None,
        ], ends
        assert child.quit() == 0
