"""No interleaving of the doorbell's steps loses a wake-up, and no step of it could be spared.

The steps are those of the proof in `sql/*/31_ring.sql`; the model of them is `doorbell_model`. A
mutant is the protocol with one step left out or with two neighbours swapped; each must lose a
wake-up in some interleaving, or leave somebody stuck, except those that change nothing, which are
listed with the reason.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.sql.doorbell_model import (
    COMMIT,
    EVERY,
    ROLLBACK,
    Model,
    Scenario,
    Step,
    Steps,
    sleep,
    statement,
)

INSERT = statement("a") + COMMIT
SAVEPOINT: Steps = (("savepoint",),)
BACK: Steps = (("back",),)
#: A worker that takes a ready job and dies before it commits; nobody rings for that.
CLAIM_LOST: Steps = (("take", "a"), *ROLLBACK)
CLAIM: Steps = (("take", "a"), ("show",))

SCENARIOS = (
    Scenario(name="one writer, one sleeper", writers=(INSERT,), sleepers=(("a",),)),
    Scenario(name="a sleeper of every queue", writers=(INSERT,), sleepers=((EVERY,),)),
    Scenario(name="two sleepers", writers=(INSERT,), sleepers=(("a",), ("a",))),
    Scenario(
        name="a worker leaves in mid-handshake",
        writers=(INSERT,),
        sleepers=(("a",), ("a",)),
        may_leave=True,
    ),
    Scenario(
        name="one for every queue leaves, one for this queue stays",
        writers=(INSERT,),
        sleepers=((EVERY,), ("a",)),
        may_leave=True,
    ),
    Scenario(
        name="two statements in one transaction",
        writers=(statement("a") + statement("a") + COMMIT,),
        sleepers=(("a",),),
    ),
    Scenario(
        name="two queues in one statement",
        writers=(statement("a", "b") + COMMIT,),
        sleepers=(("a",), ("b",)),
    ),
    Scenario(
        name="a sleeper of two queues, and a statement for each",
        writers=(statement("b") + statement("a") + COMMIT,),
        sleepers=(("a", "b"),),
    ),
    Scenario(
        name="a sleeper of two queues, and a statement for one",
        writers=(statement("b") + COMMIT,),
        sleepers=(("a", "b"),),
    ),
    Scenario(
        name="two queues that share a bucket",
        writers=(statement("b") + statement("a") + COMMIT,),
        sleepers=(("a",), ("b",)),
        buckets=(("a", "shared"), ("b", "shared")),
    ),
    Scenario(
        name="a savepoint that rolls back",
        writers=(SAVEPOINT + statement("a") + BACK + statement("a") + COMMIT,),
        sleepers=(("a",),),
    ),
    Scenario(
        name="a savepoint that rolls back takes its ring along",
        writers=(statement("a") + SAVEPOINT + statement("a") + BACK + COMMIT,),
        sleepers=(("a",),),
    ),
    Scenario(name="a writer that rolls back", writers=(statement("a") + ROLLBACK, INSERT),
             sleepers=(("a",),)),
    Scenario(
        name="a claim that rolls back",
        writers=(CLAIM_LOST,),
        sleepers=(("a",), (EVERY,)),
        ready=("a",),
    ),
    Scenario(
        name="a claim and a claim that rolls back, beside a writer",
        writers=(CLAIM_LOST, CLAIM, INSERT),
        sleepers=(("a",),),
        ready=("a",),
    ),
    Scenario(
        name="set_priority that rolls back",
        writers=((("take", "a"), *statement("a"), *ROLLBACK),),
        sleepers=(("a",),),
        ready=("a",),
    ),
    Scenario(
        name="set_priority beside a claim that rolls back",
        writers=((("take", "a"), *statement("a"), *COMMIT), CLAIM_LOST),
        sleepers=(("a",),),
        ready=("a",),
    ),
    Scenario(
        name="a stranger holds `writing`",
        writers=(INSERT,),
        sleepers=(("a",), (EVERY,)),
        strangers=frozenset({"a", EVERY}),
    ),
    Scenario(name="two writers that may meet in W2", writers=(INSERT, INSERT), sleepers=(("a",),)),
)  # fmt: skip

#: Walked for the protocol itself only: some take a second.
LARGE = (
    Scenario(name="two writers, two sleepers", writers=(INSERT, INSERT), sleepers=(("a",), ("a",))),
    Scenario(
        name="two statements for two queues, one sleeper of all and one of one",
        writers=(statement("a") + statement("b") + COMMIT,),
        sleepers=((EVERY,), ("b",)),
        may_leave=True,
    ),
)


def label(step: Step) -> str:
    """Name a step: its word, and whether it is about the bucket of all or a queue's own."""
    if step[0] in ("publish", "look", "unlook"):
        return f"{step[0]} {'*' if step[1] == EVERY else 'b'}"
    return step[0]


def without(*labels: str) -> Callable[[Steps], Steps]:
    """Leave steps out."""
    return lambda steps: tuple(step for step in steps if label(step) not in labels)


def swapped(first: str, second: str) -> Callable[[Steps], Steps]:
    """Swap two steps wherever they follow each other."""

    def change(steps: Steps) -> Steps:
        changed = list(steps)
        at = 0
        while at + 1 < len(changed):
            if (label(changed[at]), label(changed[at + 1])) == (first, second):
                changed[at : at + 2] = changed[at + 1], changed[at]
                at += 1
            at += 1
        return tuple(changed)

    return change


def behind(moved: str, place: str) -> Callable[[Steps], Steps]:
    """Put a step right behind another one."""

    def change(steps: Steps) -> Steps:
        rest = [step for step in steps if label(step) != moved]
        found = [step for step in steps if label(step) == moved]
        at = next((n for n, step in enumerate(rest) if label(step) == place), None)
        return steps if at is None or not found else (*rest[: at + 1], *found, *rest[at + 1 :])

    return change


def added(new: Step, behind_label: str) -> Callable[[Steps], Steps]:
    """Add a step behind each one of this label."""
    return lambda steps: tuple(
        part for step in steps for part in ((step, new) if label(step) == behind_label else (step,))
    )


def replaced(old: str, new: Step) -> Callable[[Steps], Steps]:
    """Put another step in the place of one."""
    return lambda steps: tuple(new if label(step) == old else step for step in steps)


WRITER = ("insert", "publish *", "look *", "unlook *", "publish b", "look b", "unlook b", "show",
          "release", "ring")  # fmt: skip
SLEEPER = ("listen", "clear", "arm", "read", "wait", "find", "sleep")

WRITER_MUTANTS: dict[str, Callable[[Steps], Steps]] = {
    **{f"no {one}": without(one) for one in WRITER},
    **{f"{one} after {two}": swapped(one, two) for one, two in pairwise(WRITER)},
    # Larger changes than one step, each the loss of something the proof leans on.
    "W1 after W2": lambda steps: (
        swapped("publish b", "unlook b")(swapped("publish b", "look b")(
            swapped("publish *", "unlook *")(swapped("publish *", "look *")(steps))))),
    "`writing` is not kept": added(("release",), "unlook b"),
    "looks once it is committed": lambda steps: behind("look b", "ring")(
        behind("look *", "ring")(without("unlook *", "unlook b")(steps))),
    "notifies before the rows are visible": lambda steps: swapped("release", "ring")(
        swapped("show", "ring")(swapped("release", "ring")(steps))),
    "does not serve the bucket of all": without("publish *", "look *", "unlook *"),
}  # fmt: skip

SLEEPER_MUTANTS: dict[str, Callable[[Steps], Steps]] = {
    **{f"no {one}": without(one) for one in SLEEPER},
    **{f"{one} after {two}": swapped(one, two) for one, two in pairwise(SLEEPER)},
    "listens after the last look": behind("listen", "find"),
    "forgets rings after the last look": behind("clear", "find"),
    "looks with the snapshot of S2": added(("snapshot",), "read"),
    "does not count jobs that somebody holds": replaced("find", ("find", "free")),
    "reads before its last lock": lambda steps: (
        swapped("arm", "read")(steps) if len(steps) > len(SLEEPER) else steps),
}  # fmt: skip

#: Mutants that change nothing, and why.
HARMLESS = {
    "no insert": "without a job there is nothing to lose",
    "insert after publish *": "nobody sees the row before the commit, wherever it is written",
    "unlook * after publish b": "the locks are of different buckets: one is only kept longer",
    "unlook b after show": "a lock kept longer refuses more; who is refused rings or tries again",
    "publish * after look *": "between the lock and the unlock of W2 nobody can take sleep(b)",
    "publish b after look b": "between the lock and the unlock of W2 nobody can take sleep(b)",
    "release after ring": "both come after the rows are visible, and either of them alone suffices",
    "no clear": "an old ring wakes for nothing",
    "no sleep": "who never sleeps needs no ring",
    "listen after clear": "no ring is forgotten that came while the session listened",
    "clear after arm": "the row of a ring that is forgotten is visible before S4 looks",
}


@pytest.mark.parametrize("scenario", [*SCENARIOS, *LARGE], ids=lambda scenario: scenario.name)
def test_no_interleaving_loses_a_wake_up(scenario: Scenario) -> None:
    model = Model(scenario)
    assert model.find_fault() is None
    assert model.ends


@pytest.mark.parametrize("mutant", WRITER_MUTANTS)
def test_every_step_of_the_writer_is_needed(mutant: str) -> None:
    change = WRITER_MUTANTS[mutant]
    assert (mutant in HARMLESS) != any(
        Model(scenario, writers=tuple(change(steps) for steps in scenario.writers)).find_fault()
        for scenario in SCENARIOS
    )


@pytest.mark.parametrize("mutant", SLEEPER_MUTANTS)
def test_every_step_of_the_sleeper_is_needed(mutant: str) -> None:
    change = SLEEPER_MUTANTS[mutant]
    assert (mutant in HARMLESS) != any(
        Model(
            scenario, sleepers=tuple(change(sleep(queues)) for queues in scenario.sleepers)
        ).find_fault()
        for scenario in SCENARIOS
    )


def test_what_is_called_harmless_is_a_mutant() -> None:
    assert HARMLESS.keys() <= WRITER_MUTANTS.keys() | SLEEPER_MUTANTS.keys()
