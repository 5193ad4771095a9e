"""The supervisor's side of the children: give them batches, take answers, know what they hold.

A child is known by its socket, the memory it shares and the jobs it has not answered yet. Nothing
here opens a payload or an answer.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable

from pgqueue.core import failpoints
from pgqueue.core.errors import ConfigurationError
from pgqueue.worker.census import Census
from pgqueue.worker.children import Casualty, ChildProcess, Setbacks, in_words
from pgqueue.worker.config import WorkerConfig
from pgqueue.worker.frames import Answer, Kind, pack, pack_batch, pack_ids, unpack_answer
from pgqueue.worker.lease import Lease
from pgqueue.worker.nursery import Nursery, ZygoteKilledError
from pgqueue.worker.recycle import Recycler

log = logging.getLogger("pgqueue.worker")

#: Seconds that a child has to end after it has closed its socket.
_DEAF = 1.0


class Pool:
    """The children of one worker.

    Args:
        config: what they run, how many they are, when they are replaced.
        lease: until when their jobs are ours.
        on_answer: called with each answer.
        on_death: called with what a dead child held, and how it ended, in words.
        on_room: called when a child may take more.

    Attributes:
        quiet: no child gets a job.
    """

    def __init__(
        self,
        *,
        config: WorkerConfig,
        lease: Lease,
        on_answer: Callable[[Answer], None],
        on_death: Callable[[list[Casualty], str], None],
        on_room: Callable[[], None],
    ) -> None:
        self._config = config
        self._lease = lease
        self._on_answer = on_answer
        self._on_death = on_death
        self._on_room = on_room
        self._recycler = Recycler(config.processes, config.max_jobs, config.max_rss)
        self._nursery = self._make_nursery()
        self._children: list[ChildProcess] = []
        self.census = Census(self._recycler, config.processes, self._children)
        #: Gives the schedules that the application declares, once it is imported.
        self.declared = lambda: self._nursery.declared
        self._old: list[Nursery] = []
        self._renewal: asyncio.Future[None] | None = None
        self._renew_again = False
        self._setbacks = Setbacks()
        self._fenced = False
        self._closing = False
        self.quiet = False

    @property
    def held(self) -> int:
        """How many jobs the children hold."""
        return sum(len(child.held) for child in self._children)

    def holds(self) -> dict[int, int]:
        """Give the batch of every job that a child holds."""
        return {job: batch for child in self._children for job, batch in child.held.items()}

    async def start(self) -> None:
        """Import the application in the zygote and fork the children.

        Raises:
            ConfigurationError: the application cannot be imported.
            OSError: there is no room for another process.
        """
        await self._nursery.start()
        self._fill()

    def hungriest(self) -> tuple[ChildProcess, int] | None:
        """Give the child with the most room, and how much; None also while none may get any."""
        if not self._may_give():
            return None
        busy = sum(min(len(one.held), one.slots.count) for one in self._children if one.retiring)
        best: tuple[ChildProcess, int] | None = None
        # The youngest first: they take the places of those that are being replaced.
        for child in reversed(self._children):
            if not child.retiring:
                child.lent = min(busy, child.slots.count)
                busy -= child.lent
            room = child.room(self._config.max_batch)
            if room and (best is None or len(child.held) < len(best[0].held)):
                best = child, room
        return best

    def give(
        self,
        child: ChildProcess,
        batch_no: int,
        ids: list[int],
        payload: bytes,
        worker_id: int = 0,
    ) -> bool:
        """Hand a batch to a child; False when it died or should get none meanwhile."""
        if child not in self._children or child.quitting or not self._may_give():
            return False
        if failpoints.on:
            failpoints.hit("before_child_exec")
        child.give(batch_no, ids)
        child.send(pack_batch(batch_no, worker_id, payload))
        if child.is_used_up:
            self._recycle()
        return True

    def cancel(self, ids: Iterable[int]) -> bool:
        """Tell children that these should stop, or be killed later; True if one is not here yet."""
        asked = list(ids)
        patience = time.monotonic() + self._config.cancel_grace
        for child in self._children:
            mine = [job for job in asked if job in child.held and job not in child.cancels]
            if mine:
                child.cancels.update(dict.fromkeys(mine, patience))
                child.send(pack(Kind.CANCEL, pack_ids(mine)))
        return not all(any(job in child.held for child in self._children) for job in asked)

    def disown(self, ids: Iterable[int]) -> None:
        """Kill the children that have jobs which are no longer ours: others may run them by now.
        What else they held goes back; of those jobs nothing is told."""
        gone = frozenset(ids)
        for child in list(self._children):
            if gone.isdisjoint(child.held):
                continue
            # What is finished in the database already may only not have been read yet.
            self._drain(child)
            if lost := gone.intersection(child.held):
                child.kill(f"{len(lost)} of its jobs are not this worker's any more")
                self._bury(child, f"killed: {child.killed}", lost)

    def give_back(self) -> None:
        """Ask the children for what they have not started."""
        for child in self._children:
            child.send(pack(Kind.RETURN))

    def quit(self) -> None:
        """Tell the children to give back what has not started and to end."""
        self._closing = True
        for child in self._children:
            child.quit()

    def kill(self, *, now: bool = False) -> None:
        """Kill all children and the zygote; what they held is reported as of dead ones.

        Args:
            now: do not let the zygote tidy up.
        """
        self._closing = True
        if self._renewal is not None:
            self._renewal.cancel()
        for child in list(self._children):
            child.kill("the worker ends")
            self._drain(child)
            self._bury(child, "killed at the end of the worker")
        for nursery in (self._nursery, *self._old):
            nursery.end(now=now)

    def restart(self) -> None:
        """Kill all children, whose jobs are no longer ours, and fork others."""
        for child in list(self._children):
            child.kill("its jobs were given to others")
            self._bury(child, "killed since its jobs were given to others")

    def reload(self) -> None:
        """Import the application anew, and replace every child once it has ended what it runs."""
        if self._renewal is not None:
            # It may have read the old files already.
            self._renew_again = True
        elif not self._closing:
            self._renewal = asyncio.ensure_future(self._renew())

    def show_stacks(self) -> None:
        """Have the zygote and the children write to standard error where they are."""
        after = 0.0
        for nursery in (self._nursery, *self._old):
            after = nursery.show_stacks(after)

    def check_lease(self) -> None:
        """Kill the children when others may have their jobs; nothing is given until a sign of life
        was taken again. What had ended before is still told: the database decides whether it
        counts."""
        if not self._lease.is_over():
            if self._fenced:
                self._fenced = False
                log.info("signs of life are taken again")
                self._on_room()
            return
        if not self._fenced:
            self._fenced = True
            log.error(
                "no sign of life was taken for %.1f s, so that others may have its jobs: "
                "children are killed, and nothing is started until one is taken",
                self._lease.silence,
            )
            for child in self._children:
                child.ready = False
                child.kill("others may have its jobs")

    def watch(self) -> None:
        """Look after the lease, deadlines, cancels, memory, and jobs that wait behind a long one.

        Raises:
            ConfigurationError: the application cannot be imported any more.
        """
        self.check_lease()
        if self._renewal is not None and self._renewal.done():
            self._renewal.result()
            self._renewal = None
            if self._renew_again:
                self._renew_again = False
                self.reload()
        for nursery in self._old:
            if nursery.is_empty:
                self._old.remove(nursery)
                nursery.end()
                break
        self._recycle()
        self._fill()
        now = time.monotonic()
        for child in list(self._children):
            why = child.overstayed(now)
            if why is not None and not child.killed:
                child.kill(why)
            child.ask_back(now)

    def _may_give(self) -> bool:
        self.check_lease()
        return not (self.quiet or self._fenced)

    # -- replacing children -----------------------------------------------------------------

    def _fill(self) -> None:
        """Fork children until there are as many as there should be, if that can be done now."""
        if self._closing or not self._nursery.is_ready or self._setbacks.wait:
            return
        missing = self._config.processes - sum(not child.retiring for child in self._children)
        for _ in range(missing):
            try:
                child = self._nursery.fork()
            except OSError as error:
                self._set_back(error.strerror or str(error))
                return
            child.most = self._recycler.allow()
            self._children.append(child)
            asyncio.get_running_loop().add_reader(child.connection, self._read, child)

    def _set_back(self, why: str) -> None:
        if self._setbacks.add():
            log.error("a child cannot be forked: %s; trying until it works", why)

    def _recycle(self) -> None:
        if self._closing:
            return
        chosen = self._recycler.choose(self._children)
        for child, why in chosen:
            log.debug("child %d is replaced: %s", child.pid, why)
            child.retiring = True
        if chosen:
            self._fill()
        replaced = any(child.ready and not child.retiring for child in self._children)
        for child in self._children:
            # One that has got its last jobs runs them; another gives back what has not begun, once
            # somebody else is there to take it.
            done = not child.held or (replaced and not child.is_used_up)
            if child.retiring and not child.quitting and done:
                child.quit()

    async def _renew(self) -> None:
        """Start another zygote, and let its children take the places of those there are."""
        while True:
            made = self._make_nursery()
            try:
                await made.start()
                break
            except (OSError, ZygoteKilledError) as error:
                self._set_back(str(error))
                await asyncio.sleep(self._setbacks.wait)
            except ConfigurationError as error:
                if not self._nursery.is_ready:
                    raise
                log.error("%s; the children that there are go on", error)
                return
        self._old.append(self._nursery)
        self._nursery.look_away()
        self._nursery = made
        before = [child for child in self._children if not child.retiring]
        log.info("the application was imported anew; %d children are replaced", len(before))
        for child in before:
            child.retiring = True
        self._fill()

    # -- what the zygote says ---------------------------------------------------------------

    def _make_nursery(self) -> Nursery:
        return Nursery(
            config=self._config, on_ended=self._ended, on_refused=self._refused, on_lost=self._lost
        )

    def _ended(self, child: ChildProcess, status: int) -> None:
        if child in self._children:
            self._drain(child)
            self._bury(child, f"killed: {child.killed}" if child.killed else in_words(status))

    def _refused(self, child: ChildProcess, why: str) -> None:
        self._forget(child)
        self._set_back(why)

    def _lost(self, nursery: Nursery, children: list[ChildProcess]) -> None:
        # Children die with it (PR_SET_PDEATHSIG, and the end of their sockets elsewhere).
        for child in children:
            child.kill("its parent process ended")
            self._drain(child)
            self._bury(child, "killed together with its parent process")
        if nursery is self._nursery and not self._closing:
            log.error("the process that forks children ended; starting another")
            if self._renewal is None:
                self._renewal = asyncio.ensure_future(self._renew())

    # -- one child --------------------------------------------------------------------------

    def _read(self, child: ChildProcess) -> None:
        try:
            data = child.connection.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # The zygote tells how it ended; until then it only gets nothing any more.
            child.ready = False
            loop = asyncio.get_running_loop()
            loop.remove_reader(child.connection)
            loop.call_later(_DEAF, self._cut_off, child)
            return
        self._take(child, data)

    def _take(self, child: ChildProcess, data: bytes) -> None:
        for kind, body in child.reader.feed(data):
            if kind is Kind.HELLO:
                child.ready = child.greeted = True
                if self._setbacks.end():
                    log.info("children can be forked again")
            elif kind is Kind.ANSWER:
                answer = unpack_answer(body)
                child.take(answer)
                self._on_answer(answer)
            elif child.note(kind, body):
                self._recycle()
        if child.retiring:
            self._recycle()
        self._on_room()

    def _cut_off(self, child: ChildProcess) -> None:
        """Kill a child that closed its socket and lives on: what it runs has done that."""
        if child in self._children:
            child.cut_off = True
            child.kill("it closed the connection to its supervisor")

    def _drain(self, child: ChildProcess) -> None:
        """Take the answers that a child sent before it died."""
        with contextlib.suppress(OSError):
            while data := child.connection.recv(1 << 20):
                self._take(child, data)

    def _bury(self, child: ChildProcess, how: str, lost: frozenset[int] = frozenset()) -> None:
        if child not in self._children:
            return
        casualties = [one for one in child.casualties() if one.job_id not in lost]
        self._forget(child)
        say = not child.quitting or bool(casualties)
        if not (child.greeted or child.killed):
            # What killed it before it was ready may kill the next one too.
            say = self._setbacks.add()
        if say:
            log.warning("child %d ended: %s; it held %d jobs", child.pid, how, len(casualties))
        self._on_death(casualties, how)
        self._fill()

    def _forget(self, child: ChildProcess) -> None:
        self._children.remove(child)
        child.close()
