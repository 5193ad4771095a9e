"""A proxy for PostgreSQL's protocol that does to connections what networks do.

It runs in a thread of its own and is told from outside what to do, to one connection or to all:

* pass, delay, throttle;
* cut (close both sides), reset (both sides get RST);
* hole: keep both sides open and pass nothing on, in one direction or both, until healed;
* half-open: the server's side is closed, and the client is not told;
* drop notifications;
* refuse new connections, or take them and reset them or leave them without an answer;
* a trap: when a statement comes by, cut, reset, hole or half-open before the server gets it, or
  after the server has carried it out and before the client is told.

It declines encryption, so that it can read messages and place a fault exactly between two.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Literal, Self, TypeVar

from psycopg import conninfo

from tests.faults.relay import RST, Connection, Fault, Trap

T = TypeVar("T")

Entrance = Literal["pass", "refuse", "reset", "hole"]


class Proxy:
    """Stand between clients and one server; use as a context manager, or `start` and `close`.

    Args:
        host: of the server; a directory for a Unix socket.
        port: of the server.

    Attributes:
        port: where it listens, on the loopback interface.
        target: host and port of the server; may be changed, for new connections.
        delay: seconds by which every message is late, in both directions.
        rate: bytes a second in each direction of each connection; None for as many as come.
        drops_notifications: no client hears any.
        traps: what waits for statements; see `trap`.
        accepted: connections that clients have opened.
    """

    def __init__(self, host: str, port: int, *, listen: str = "127.0.0.1") -> None:
        self.target = (host, port)
        self.listen = listen
        self.port = 0
        self.delay = 0.0
        self.rate: float | None = None
        self.drops_notifications = False
        self.traps: list[Trap] = []
        self.accepted = 0
        self.entrance: Entrance = "pass"
        self._connections: list[Connection] = []
        self._lives: set[asyncio.Task[None]] = set()
        self._place: socket.socket | None = None
        self._door: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @classmethod
    def before(cls, dsn: str) -> "Proxy":
        """Make one for the server of a DSN."""
        found = conninfo.conninfo_to_dict(dsn)
        return cls(str(found.get("host") or "127.0.0.1"), int(found.get("port") or 5432))

    def dsn(self, dsn: str) -> str:
        """Give the same DSN with the way through this proxy."""
        # Without encryption a client needs one round trip less; it would be declined anyway.
        return conninfo.make_conninfo(
            dsn, host=self.listen, port=self.port, sslmode="disable", gssencmode="disable"
        )

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self.call(self._open)
        return self

    def close(self) -> None:
        """End every connection and the thread."""
        self.run(self._end_all(reset=False, quit=True))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what to do to whom -----------------------------------------------------------------

    def connections(
        self, *, listens: bool | None = None, works: bool | None = None
    ) -> list[Connection]:
        """Give the connections that are open now, all or those of one kind."""
        return [
            one
            for one in tuple(self._connections)
            if listens in (None, one.listens) and works in (None, one.works)
        ]

    def worker_sleeps(self) -> bool:
        """Whether every worker behind it sleeps behind its doorbell, past its last look."""
        listeners = self.connections(listens=True)
        return bool(listeners) and all(one.asleep for one in listeners)

    def trap(self, text: str, fault: Fault = "cut", **options: Any) -> Trap:
        """Lay a trap; see `Trap` for the options."""
        trap = Trap(text=text, fault=fault, **options)
        self.traps.append(trap)
        return trap

    def do(self, fault: Fault) -> None:
        """Do this to all open connections."""
        for one in self.connections():
            one.do(fault)

    def admit(self, entrance: Entrance) -> None:
        """Say what becomes of new connections: pass, refuse, reset, hole."""
        self.entrance = entrance
        self.call(self._shut if entrance == "refuse" else self._open)

    def hole(self) -> None:
        """Be a black hole for all, those who come included, until `heal`."""
        self.admit("hole")
        for one in self.connections():
            one.hole()

    def heal(self) -> None:
        """End every fault that can end: holes, delay, throttle, refusal, traps."""
        self.delay, self.rate, self.drops_notifications = 0.0, None, False
        self.traps.clear()
        self.admit("pass")
        for one in self.connections():
            one.heal()

    # -- the thread -------------------------------------------------------------------------

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the proxy's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def call(self, what: Callable[[], T]) -> T:
        """Call a function in the proxy's thread and wait for it."""

        async def called() -> T:
            return what()

        return self.run(called())

    def forget(self, connection: Connection) -> None:
        """Take a connection off the list; it has ended."""
        with contextlib.suppress(ValueError):
            self._connections.remove(connection)

    def _open(self) -> None:
        if self._door is not None:
            return
        if self._place is None:
            # Keeps the port from others while the door is shut; nobody is let in by it.
            self._place = self._bound()
        self._door = door = self._bound()
        door.listen(100)
        door.setblocking(False)
        self._loop.add_reader(door.fileno(), self._accept, door)

    def _bound(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((self.listen, self.port))
        self.port = made.getsockname()[1]
        return made

    def _shut(self) -> None:
        if self._door is not None:
            self._loop.remove_reader(self._door.fileno())
            self._door.close()
            self._door = None

    def _accept(self, door: socket.socket) -> None:
        try:
            client, _ = door.accept()
        except OSError:
            return
        self.accepted += 1
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.entrance == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            client.close()
            return
        connection = Connection(self, client)
        self._connections.append(connection)
        life = asyncio.ensure_future(connection.live(), loop=self._loop)
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _end_all(self, *, reset: bool, quit: bool) -> None:
        if quit:
            self._shut()
            if self._place is not None:
                self._place.close()
        for one in tuple(self._connections):
            await one.end(reset=reset)
        await asyncio.gather(*self._lives, return_exceptions=True)
