"""Checks of single values that several options share."""

from pgqueue.core.errors import ConfigurationError, shown


def text(value: object, option: str, most: int) -> str:
    """Give back a text of 1 to so many bytes, or raise ConfigurationError."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{option} must be a non-empty string; got {shown(value)}")
    # Cut before encoding, so that a huge name costs nothing; a character is at least one byte.
    try:
        size = len(value[: most + 1].encode())
    except UnicodeEncodeError:
        raise ConfigurationError(f"{option} must be text without lone surrogates") from None
    if size > most:
        raise ConfigurationError(f"{option} must be at most {most} bytes; got {shown(value)}")
    if "\0" in value:
        raise ConfigurationError(f"{option} must be text without NUL; got {shown(value)}")
    return value


def whole(value: object, option: str, least: int, most: int) -> int:
    """Give back a whole number between two, or raise ConfigurationError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(f"{option} must be a whole number; got {shown(value)}")
    if not least <= value <= most:
        raise ConfigurationError(f"{option} must be between {least} and {most}; got {shown(value)}")
    return value


def exceptions(value: object, option: str) -> tuple[type[BaseException], ...]:
    """Give exception classes as a tuple, or raise ConfigurationError."""
    items = (value,) if isinstance(value, type) else value
    if not isinstance(items, tuple | list | set | frozenset):
        raise ConfigurationError(
            f"{option} must be an exception class or a tuple of them; got {shown(value)}"
        )
    for item in items:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise ConfigurationError(f"{option} must hold exception classes; got {shown(item)}")
    return tuple(items)
