"""PostgreSQL's protocol, as far as one who stands between client and server must read it."""

import struct
from dataclasses import dataclass, field

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_CANCEL_REQUEST = 80877102


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it travelled.

    Attributes:
        kind: its type byte; empty for those of a connection's start, which have none.
        raw: all of it.
    """

    kind: bytes
    raw: bytes

    @property
    def body(self) -> bytes:
        """What follows type and length."""
        return self.raw[5:] if self.kind else self.raw[4:]

    @property
    def code(self) -> int:
        """What a message of the start asks for: a protocol version or a special request."""
        return int(struct.unpack_from("!i", self.raw, 4)[0])

    @property
    def asks_for_encryption(self) -> bool:
        return not self.kind and self.code in (_SSL_REQUEST, _GSS_REQUEST)

    @property
    def is_cancel(self) -> bool:
        return not self.kind and self.code == _CANCEL_REQUEST


class Frames:
    """Cut one direction of a connection into messages.

    Args:
        start: whether it begins with messages without a type, as the client's direction does.
    """

    def __init__(self, *, start: bool) -> None:
        self._start = start
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take what has come in; give the messages that are complete."""
        self._held += data
        found: list[Message] = []
        while True:
            head = 0 if self._start else 1
            if len(self._held) < head + 4:
                return found
            size = head + struct.unpack_from("!i", self._held, head)[0]
            if len(self._held) < size:
                return found
            raw = bytes(self._held[:size])
            del self._held[:size]
            message = Message(raw[:head], raw)
            found.append(message)
            if self._start and not message.asks_for_encryption:
                self._start = False


@dataclass(slots=True)
class Statements:
    """Follow what a client asks to be carried out, prepared statements included."""

    _texts: dict[bytes, str] = field(default_factory=dict)
    _bound: str = ""

    def executed(self, message: Message) -> str | None:
        """Give the text of the statement that this message has carried out, or None."""
        body = message.body
        match message.kind:
            case b"Q":
                return _text(body)
            case b"P":
                name, _, rest = body.partition(b"\0")
                self._texts[name] = _text(rest)
            case b"B":
                _portal, _, rest = body.partition(b"\0")
                self._bound = self._texts.get(rest.partition(b"\0")[0], "")
            case b"E":
                return self._bound
        return None


def startup_options(message: Message) -> dict[str, str]:
    """Read the parameters of a start-up message: user, database, application_name …"""
    words = message.body[4:].rstrip(b"\0").split(b"\0")
    return {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in zip(words[::2], words[1::2], strict=False)
    }


def backend_pid(message: Message) -> int:
    """Read the process id in a BackendKeyData message."""
    return int(struct.unpack_from("!i", message.body)[0])


def only_value(message: Message) -> bytes:
    """Read the value in a DataRow message of one column, in the form it was asked for."""
    return message.body[6:]


def channel(message: Message) -> str:
    """Read the channel of a NotificationResponse message."""
    return message.body[4:].partition(b"\0")[0].decode(errors="replace")


def _text(body: bytes) -> str:
    return body.partition(b"\0")[0].decode(errors="replace")
