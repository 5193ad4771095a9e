"""What is typed as JSON: arguments, keyword arguments, meta; never shown in an error."""

import json
from typing import cast

from pgqueue.core import codec
from pgqueue.core.errors import ConfigurationError, DecodeError, NotSerializableError

#: orjson writes 254 containers inside each other, and what is printed has some around this.
_DEPTH = 200
_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def json_array(text: str, name: str) -> list[object]:
    """Read a JSON array, tagged values included.

    Raises:
        ConfigurationError: it is none.
    """
    found = _json(text, name, "'[\"a\", 2]'")
    if type(found) is not list:
        raise _wrong(name, "a JSON array, such as '[\"a\", 2]'", found)
    return found


def json_object(text: str, name: str) -> dict[str, object]:
    """Read a JSON object, tagged values included.

    Raises:
        ConfigurationError: it is none.
    """
    found = _json(text, name, "'{\"a\": 2}'")
    if type(found) is not dict:
        raise _wrong(name, "a JSON object, such as '{\"a\": 2}'", found)
    return cast("dict[str, object]", found)


def to_json(value: object) -> object:
    """Give a value as the JSON it is stored as, tagged where JSON has no word for it."""
    try:
        return json.loads(codec.dumps(value, max_bytes=2**30, max_depth=_DEPTH))
    except NotSerializableError:
        # Plain SQL may have stored what Python would not have let pass.
        return "(cannot be shown)"


def _json(text: str, name: str, example: str) -> object:
    try:
        return codec.loads(text)
    except DecodeError as error:
        raise ConfigurationError(
            f"{name} must be JSON, such as {example}; {_fault(text) or error}"
        ) from None


def _fault(text: str) -> str | None:
    """Say where JSON is broken, without quoting it."""
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return f"{error.msg[0].lower()}{error.msg[1:]} at character {error.pos + 1}"
    except ConfigurationError as error:
        return str(error)
    except (RecursionError, ValueError):
        return "it is nested too deep or has too long a number"
    return None


def _no_constant(name: str) -> None:
    raise ConfigurationError(f"JSON has no {name}")


def _wrong(name: str, wanted: str, found: object) -> ConfigurationError:
    # A tagged value is an object to whoever typed it.
    kind = _KINDS.get(type(found), "a tagged value")
    return ConfigurationError(f"{name} must be {wanted}; got {kind}")
