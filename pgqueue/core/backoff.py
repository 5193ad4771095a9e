"""How long to wait before the next attempt: seconds, a named curve, or a callable."""

import datetime as dt
import inspect
import random as _random
from collections.abc import Callable
from typing import Final, cast

from pgqueue.core.errors import ConfigurationError, shown, suggest
from pgqueue.core.offsets import to_seconds

#: Seconds, one of `NAMES`, or a callable that gets the attempt that failed, 1 for the first.
Backoff = float | str | Callable[[int], float | dt.timedelta]

#: The named curves.
NAMES: Final = ("constant", "linear", "exponential")
#: Seconds before the second attempt on every named curve.
BASE: Final = 15.0
#: The longest delay of a named curve, one day.
CAP: Final = 86_400.0
#: A named curve's delay is spread by this share to both sides, so that retries do not march.
JITTER: Final = 0.1


def validate_backoff(value: object) -> Backoff:
    """Check a backoff and give its plain form.

    Args:
        value: a number of seconds, a timedelta, an offset such as `"5m"`, `"constant"`,
            `"linear"`, `"exponential"`, or a callable of one argument, the attempt.

    Returns:
        Seconds as float, the name, or the callable.

    Raises:
        ConfigurationError: it is none of these.
    """
    if isinstance(value, str) and value in NAMES:
        return value
    if isinstance(value, str | int | float | dt.timedelta) and not isinstance(value, bool):
        try:
            return to_seconds(value, "backoff")
        except ConfigurationError as error:
            if isinstance(value, str) and value[:1].isalpha():
                raise _not_a_backoff(value) from None
            raise error from None
    if not callable(value):
        raise _not_a_backoff(value)
    if inspect.iscoroutinefunction(value):
        raise ConfigurationError("backoff must be a plain function; got a coroutine function")
    return cast("Callable[[int], float | dt.timedelta]", value)


def delay(backoff: Backoff, attempt: int, *, random: Callable[[], float] = _random.random) -> float:
    """Tell how long to wait after a failed attempt.

    Named curves start at 15 seconds and are capped at one day: constant 15, linear 15 n,
    exponential 15 * 2^(n-1), each spread by 10 % to both sides. A number has no jitter.

    Args:
        backoff: what `validate_backoff` gave.
        attempt: the attempt that failed, 1 for the first.
        random: gives numbers in [0, 1).

    Returns:
        Seconds, between 0 and 100 years.

    Raises:
        ConfigurationError: a callable gave something that is no duration.
        Exception: whatever a callable raises.
    """
    attempt = max(attempt, 1)
    if isinstance(backoff, str):
        match backoff:
            case "constant":
                seconds = BASE
            case "linear":
                seconds = min(BASE * attempt, CAP)
            case "exponential":
                # The exponent is bounded before the power, which would overflow a float.
                seconds = min(BASE * 2.0 ** min(attempt - 1, 60), CAP)
            case _:
                raise _not_a_backoff(backoff)
        return seconds * (1.0 + JITTER * (2.0 * random() - 1.0))
    if callable(backoff):
        return to_seconds(backoff(attempt), "the delay that backoff returned")
    return float(backoff)


def _not_a_backoff(value: object) -> ConfigurationError:
    near = suggest(value, NAMES) if isinstance(value, str) else ""
    return ConfigurationError(
        "backoff must be a number of seconds, an offset such as '5m', 'constant', 'linear', "
        f"'exponential' or a callable; got {shown(value)}{near}"
    )
