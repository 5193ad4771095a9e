"""Limits: how many jobs may run at once, start in a time, or wait."""

import re
from enum import Enum
from typing import Final, Literal, TypeAlias

from pgqueue.core.errors import ConfigurationError, shown

MAX_COUNT: Final = 2**31 - 1
_RATE: Final = re.compile(r"[1-9][0-9]{0,7}/([1-9][0-9]{0,5})?[smhd]")


class Keep(Enum):
    """Stand for what is left as it is, where None would take it away."""

    KEEP = "keep"

    def __repr__(self) -> str:
        """Say it as a signature should show it."""
        return "KEEP"


KEEP: Final = Keep.KEEP
Kept: TypeAlias = Literal[Keep.KEEP]


def check_max_running(value: object, option: str = "max_running") -> int:
    """Give back how many jobs of a key may run at once, or raise ConfigurationError."""
    return check_count(value, option, 1)


def check_count(value: object, option: str, least: int = 0) -> int:
    """Give back a number of jobs, or raise ConfigurationError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(f"{option} must be a whole number; got {shown(value)}")
    if not least <= value <= MAX_COUNT:
        raise ConfigurationError(
            f"{option} must be between {least} and {MAX_COUNT}; got {shown(value)}"
        )
    return value


def check_line(max_running: object, rate: object) -> None:
    """Pass where the limits of a key are well formed, or not set; else raise ConfigurationError."""
    if max_running is not None:
        check_max_running(max_running)
    if rate is not None:
        check_rate(rate)


def check_rate(value: object) -> str:
    """Give back a rate, such as `"100/m"`, or raise ConfigurationError."""
    if not isinstance(value, str) or not _RATE.fullmatch(value):
        raise ConfigurationError(
            f"rate must be text such as 100/m, 5/s, 1000/2h or 10/d; got {shown(value)}"
        )
    return value
