"""What a worker may be told, and how it orders the queues it was told."""

import pytest

from pgqueue.core.errors import ConfigurationError
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.stats import Stats


def test_defaults() -> None:
    config = WorkerConfig(dsn="")
    assert config.queues.names == ("*",)
    assert config.processes >= 1
    assert (config.threads, config.heartbeat, config.lease) == (1, 2.0, 30.0)
    assert (config.fallback, config.grace, config.burst) == (None, 30.0, False)
    assert (config.cancel_grace, config.timeout, config.max_outage) == (10.0, None, None)
    assert (config.max_jobs, config.max_rss, config.listen_dsn) == (None, None, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"processes": 0}, "processes must be between 1 and 1000; got 0"),
        ({"threads": 1001}, "threads must be between 1 and 1000; got 1001"),
        ({"max_batch": 0}, "max_batch must be between 1 and 100000; got 0"),
        ({"grace": -1}, "grace must be between 0 and 86400; got -1"),
        ({"heartbeat": 0}, "heartbeat must be between 0.05 and 86400; got 0"),
        (
            {"heartbeat": 5, "lease": 12},
            "heartbeat must be at most a third of the lease; got 5 s and a",
        ),
        ({"fallback": 0}, "fallback must be between 0.05 and 86400; got 0"),
        ({"cancel_grace": -1}, "cancel_grace must be between 0 and 86400; got -1"),
        ({"timeout": 0}, "timeout must be between 0.001 and 31622400; got 0"),
        ({"max_jobs": 0}, "max_jobs must be between 1 and 2147483648; got 0"),
        ({"max_rss": 4096}, "max_rss must be between 1048576 and 1125899906842624; got 4096"),
        ({"max_outage": 0.5}, "max_outage must be between 1 and 31622400; got 0.5"),
        ({"grace": float("nan")}, "grace must be between 0 and 86400; got nan"),
    ],
)
def test_numbers_out_of_range(words: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        WorkerConfig(dsn="", **words)


def test_stats_are_one_line() -> None:
    assert Stats(jobs=3, by_ring=1).line() == (
        "jobs=3 calls=0 rings=0 by_ring=1 by_look=0 by_fallback=0 lost_leases=0 reconnects=0"
    )
