"""The application that a worker of the poison corpus runs."""

from tests.faults.corpus import deadly, failing, littering

__all__ = ["deadly", "failing", "littering"]
