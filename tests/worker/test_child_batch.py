"""Batch tasks in a child alone: which jobs are called together, and how each of them ends."""

import pytest

from tests.worker.child_host import Host, line

APP = "tests.acceptance.batch_tasks"


def job(number: int, task: str, *args: object, **more: object) -> str:
    return line(number, task if "." in task else f"{APP}.{task}", *args, **more)  # type: ignore[arg-type]


def test_what_has_come_is_called_together() -> None:
    with Host(app=APP) as child:
        child.send(*(job(n, "sizes") for n in range(1, 101)))
        assert {end["result"] for end in child.wait(*range(1, 101))} == {100}
        # The slot may look while the reader, put off by the machine, has yet to give it the rest.
        assert len(child.wants) <= 1
        assert child.quit() == 0


def test_a_call_that_is_not_full_asks_for_more_and_waits() -> None:
    with Host(app=APP) as child:
        child.send(job(1, "sizes"), job(2, "sizes"))
        while not child.wants:
            assert child.hear()
        assert child.wants == [98]
        child.send(*(job(n, "sizes") for n in range(3, 101)))
        assert {end["result"] for end in child.wait(*range(1, 101))} == {100}
        assert child.quit() == 0


def test_others_are_not_called_with_it_and_come_next() -> None:
    with Host(app=f"{APP},tests.acceptance.tasks") as child:
        child.send(
            job(1, "each", "ok", 1), line(2, "echo", 2), job(3, "each", "ok", 3),
            job(4, "each", "ok", 4, lost=1), line(5, "echo", 5),
        )  # fmt: skip
        assert [end.get("result") for end in child.wait(1, 2, 3, 4, 5)] == [1, 2, 3, 4, 5]
        assert child.quit() == 0


@pytest.mark.parametrize("task", ["each", "aeach"])
def test_each_job_has_its_own_end(task: str) -> None:
    with Host(app=APP) as child:
        hows = ["ok", "fail", "retry", "snooze", "cancel", "object", "ok"]
        child.send(*(job(n, task, how) for n, how in enumerate(hows)))
        ends = child.wait(*range(len(hows)))
        assert [end["state"] for end in ends] == [
            "succeeded", "failed", "failed", "snoozed", "cancelled", "failed", "succeeded",
        ]  # fmt: skip
        assert (ends[1]["kind"], ends[1]["message"]) == ("ValueError", "no")
        assert ends[2]["kind"] == "Retry"
        assert ends[5]["kind"] == "ResultNotSerializable"
        assert child.quit() == 0


def test_what_the_call_raises_ends_all_of_them() -> None:
    with Host(app=APP) as child:
        child.send(*(job(n, "all_fail", attempt=1 + n % 2) for n in range(4)), job(9, "wrong"),
                   job(10, "wrong"))  # fmt: skip
        ends = child.wait(0, 1, 2, 3, 9, 10)
        assert [end["state"] for end in ends[:4]] == ["retry", "failed", "retry", "failed"]
        assert {end["message"] for end in ends[:4]} == {"all 4"}
        assert [end["kind"] for end in ends[4:]] == ["BatchResult", "BatchResult"]
        assert child.quit() == 0


def test_jobs_that_wait_for_a_call_to_be_full_can_be_asked_back() -> None:
    with Host(app=f"{APP},tests.acceptance.tasks", threads=2) as child:
        child.send(job(1, "sizes"), job(2, "sizes"))
        child.ask_back()
        assert child.wait(1)[0]["result"] <= 2
        child.wait(2)
        assert child.quit() == 0
