"""Tests of the eight states."""

from pgqueue.core.states import FINAL, WAITING, JobState


def test_the_states_are_the_eight_words_of_the_schema() -> None:
    assert [str(state) for state in JobState] == (
        ["blocked", "scheduled", "ready", "running", "succeeded", "failed", "cancelled", "expired"]
    )


def test_every_state_but_running_either_waits_or_is_final() -> None:
    assert set(JobState) - {JobState.RUNNING} == FINAL | WAITING
    assert not FINAL & WAITING


def test_a_word_from_the_database_compares_as_a_state() -> None:
    assert JobState("ready") is JobState.READY
    assert JobState.READY == "ready"
    assert "failed" in FINAL
