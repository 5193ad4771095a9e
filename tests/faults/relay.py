"""One connection through the proxy: what comes in, what is passed on, what is done to it."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tests.faults import wire

if TYPE_CHECKING:
    from tests.faults.proxy import Proxy

Fault = Literal["cut", "reset", "hole", "half-open"]

RST = struct.pack("ii", 1, 0)
_CHUNK = 1 << 16


@dataclass(slots=True, kw_only=True)
class Trap:
    """What waits for a statement.

    Attributes:
        text: part of the statement, in any case; empty for every statement.
        fault: what is done to the connection.
        at: "request" for before the server gets it; "reply" for after it was carried out.
        nth: on every so-manieth such statement.
        times: how often at most.
        where: which connections; None for all.
        sprung: how often so far.
        seen: such statements so far.
    """

    text: str
    fault: Fault = "cut"
    at: Literal["request", "reply"] = "reply"
    nth: int = 1
    times: float = 1
    where: "Callable[[Connection], bool] | None" = None
    sprung: int = 0
    seen: int = 0

    def springs(self, connection: "Connection", statement: str) -> bool:
        """Say whether it springs on this statement, and count."""
        if self.sprung >= self.times or self.text.lower() not in statement.lower():
            return False
        if self.where is not None and not self.where(connection):
            return False
        self.seen += 1
        if self.seen % self.nth:
            return False
        self.sprung += 1
        return True


@dataclass(slots=True)
class Way:
    """One direction of a connection."""

    source: socket.socket
    target: socket.socket | None
    frames: wire.Frames
    open: asyncio.Event = field(default_factory=asyncio.Event)
    #: Messages that came by.
    messages: int = 0

    def __post_init__(self) -> None:
        self.open.set()


class Connection:
    """One client and its connection to the server."""

    def __init__(self, proxy: "Proxy", client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._statements = wire.Statements()
        self._to_server = Way(client, None, wire.Frames(start=True))
        self._to_client: Way | None = None
        self._after_reply: Fault | None = None
        self._deaf_to_server = False
        #: Monotonic time when it was accepted.
        self.accepted_at = time.monotonic()
        #: What its start-up message said.
        self.options: dict[str, str] = {}
        self.backend_pid = 0
        #: Texts of statements carried out that named these.
        self.listens = False
        self.works = False
        #: Whether it is a worker's listener that has looked for jobs a last time, found none, and
        #: was not rung since: nothing but a ring or the clock makes its worker call again.
        self.asleep = False
        self._looks_last = False
        #: The last parameters that the client sent, as they travelled.
        self.bound = b""
        #: Notifications handed on and held back.
        self.notified = 0
        self.dropped = 0
        self.closed = False
        #: Close both sides after so many messages from the client or to it.
        self.cut_after: int | None = None

    # -- what may be called from outside ----------------------------------------------------

    def do(self, fault: Fault) -> None:
        """Do this to the connection, now."""
        self._proxy.run(self.suffer(fault))

    def hole(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Pass nothing on any more in these directions, and keep both sides open."""
        self._proxy.call(lambda: self._hole(to_server, to_client))

    def heal(self) -> None:
        """Pass on again, beginning with what came meanwhile."""
        self._proxy.call(self._heal)

    # -- inside the proxy's thread ----------------------------------------------------------

    async def live(self) -> None:
        """Take the client's first message, connect, and pass on until either side ends."""
        if self._proxy.entrance == "hole":
            self._hole(True, True)
        self._tasks.append(asyncio.create_task(self._pump(self._to_server)))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def suffer(self, fault: Fault) -> None:
        """Do this to the connection."""
        match fault:
            case "hole":
                self._hole(True, True)
            case "half-open":
                self._deaf_to_server = True
                if self._server is not None:
                    self._server.shutdown(socket.SHUT_RDWR)
            case _:
                await self.end(reset=fault == "reset")

    async def end(self, *, reset: bool) -> None:
        """Close both sides."""
        if self.closed:
            return
        self.closed = True
        mine = asyncio.current_task()
        others = [task for task in self._tasks if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for side in filter(None, (self._client, self._server)):
            if reset:
                with contextlib.suppress(OSError):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            side.close()
        self._proxy.forget(self)

    def _hole(self, to_server: bool, to_client: bool) -> None:
        if to_server:
            self._to_server.open.clear()
        if to_client and self._to_client is not None:
            self._to_client.open.clear()

    def _heal(self) -> None:
        self._to_server.open.set()
        if self._to_client is not None:
            self._to_client.open.set()

    async def _pump(self, way: Way) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                # Also before reading: what nobody takes stays in the sender's kernel at last.
                await way.open.wait()
                data = await loop.sock_recv(way.source, _CHUNK)
                await way.open.wait()
                if not data:
                    break
                await self._pass_on(way, data)
        if not (way is self._to_client and self._deaf_to_server):
            await self.end(reset=False)

    async def _pass_on(self, way: Way, data: bytes) -> None:
        proxy = self._proxy
        kept: list[bytes] = []
        for message in way.frames.feed(data):
            way.messages += 1
            if way is self._to_server:
                fault = await self._from_client(way, message, kept)
            else:
                fault = self._from_server(message, kept)
            if self.cut_after is not None and way.messages >= self.cut_after:
                fault = fault or "cut"
            if fault is not None:
                await self._send(way, kept)
                await self.suffer(fault)
                if self.closed:
                    raise ConnectionAbortedError
                await way.open.wait()
        if proxy.delay:
            await asyncio.sleep(proxy.delay)
            await way.open.wait()
        await self._send(way, kept)

    async def _send(self, way: Way, kept: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        whole = b"".join(kept)
        kept.clear()
        if way.target is None or not whole or (way is self._to_server and self._deaf_to_server):
            return
        if self._proxy.rate is None:
            await loop.sock_sendall(way.target, whole)
            return
        step = max(1, int(self._proxy.rate / 20))
        for begin in range(0, len(whole), step):
            part = whole[begin : begin + step]
            await asyncio.sleep(len(part) / self._proxy.rate)
            await loop.sock_sendall(way.target, part)

    async def _from_client(
        self, way: Way, message: wire.Message, kept: list[bytes]
    ) -> Fault | None:
        if message.asks_for_encryption:
            await asyncio.get_running_loop().sock_sendall(way.source, b"N")
            return None
        if self._server is None:
            self.options = {} if message.is_cancel else wire.startup_options(message)
            await self._connect()
        kept.append(message.raw)
        if message.kind == b"B":
            self.bound = message.raw
        statement = self._statements.executed(message)
        if statement is None:
            return None
        self.listens = self.listens or statement.upper().startswith("LISTEN")
        self.works = self.works or "pgqueue.work(" in statement
        self._looks_last = "pgqueue.waiting(" in statement
        if self._looks_last or "pgqueue.disarm(" in statement:
            # Not `arm`: the leader asks for its own ring with it at any time, and a sleeper never
            # does without the other two beside it.
            self.asleep = False
        for trap in self._proxy.traps:
            if trap.springs(self, statement):
                if trap.at == "request":
                    kept.pop()
                    return trap.fault
                self._after_reply = trap.fault
        return None

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        host, port = self._proxy.target
        family = socket.AF_UNIX if host.startswith("/") else socket.AF_INET
        self._server = server = socket.socket(family, socket.SOCK_STREAM)
        server.setblocking(False)
        address = f"{host}/.s.PGSQL.{port}" if family == socket.AF_UNIX else (host, port)
        await loop.sock_connect(server, address)
        self._to_server.target = server
        self._to_client = Way(server, self._client, wire.Frames(start=False))
        if not self._to_server.open.is_set():
            self._to_client.open.clear()
        self._tasks.append(asyncio.create_task(self._pump(self._to_client)))

    def _from_server(self, message: wire.Message, kept: list[bytes]) -> Fault | None:
        if self._after_reply is not None:
            # Everything up to "ready for query": only then is the transaction surely over.
            if message.kind != b"Z":
                return None
            fault, self._after_reply = self._after_reply, None
            return fault
        if message.kind == b"K":
            self.backend_pid = wire.backend_pid(message)
        if message.kind == b"D" and self._looks_last:
            self.asleep = wire.only_value(message) == b"f"
        if message.kind == b"A":
            self.asleep = self.asleep and wire.channel(message) != "pgqueue"
            if self._proxy.drops_notifications:
                self.dropped += 1
                return None
            self.notified += 1
        kept.append(message.raw)
        return None
