"""What a worker counts about itself: shown at its end, and asserted by the tests."""

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Stats:
    """Counts since the start.

    Attributes:
        jobs: outcomes written down.
        calls: round trips of `pgqueue.work`.
        rings: notifications that woke this worker.
        by_ring: claims that found jobs after a ring.
        by_look: claims that found jobs in the last look before sleeping, or while awake.
        by_fallback: claims that found jobs only because a heartbeat said so.
        lost_leases: outcomes that were refused.
        reconnects: connections opened anew.
    """

    jobs: int = 0
    calls: int = 0
    rings: int = 0
    by_ring: int = 0
    by_look: int = 0
    by_fallback: int = 0
    lost_leases: int = 0
    reconnects: int = 0

    def line(self) -> str:
        """Write them as `name=number` pairs."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())
