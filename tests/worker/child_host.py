"""A child process without a supervisor, and the supervisor's end of its socket for the tests.

Run as a program it is the child; `Host` starts it and speaks frames with it.
"""

import json
import os
import socket
import sys
import tempfile
import time
from typing import Any, Self

from pgqueue.api.loading import load_apps
from pgqueue.worker.child import Child
from pgqueue.worker.frames import (
    FrameReader,
    Kind,
    Slots,
    pack,
    pack_batch,
    pack_ids,
    unpack_answer,
    unpack_ids,
)
from tests.fixtures import warm
from tests.helpers import PATIENCE


class Host:
    """One child and what it has answered.

    Attributes:
        outcomes: the last object told about each job; `{"state": "succeeded"}` without a result.
        notes: what jobs have said of themselves.
        answers: how many frames with outcomes have come.
        wants: how many jobs more calls of batch tasks have waited for.
        worn: how often it has asked to be replaced.
        exit_code: of the process, once it has ended.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        app: str = "tests.acceptance.tasks",
        timeout: float = 0.0,
        env: dict[str, str] | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        self.said = tempfile.TemporaryFile()  # noqa: SIM115
        with tempfile.TemporaryFile() as memory:
            memory.truncate(Slots.size(threads))
            self.slots = Slots(memory.fileno(), threads)
            self._process = warm.start(
                [str(threads), app, str(timeout)],
                env={**os.environ, **(env or {})},
                log=self.said,
                module="tests.worker.child_host",
                fds=[theirs.fileno(), memory.fileno()],
            )
        theirs.close()
        self._socket = ours
        self._socket.settimeout(PATIENCE)
        self._frames = FrameReader()
        self._batch_no = 0
        self.outcomes: dict[int, dict[str, Any]] = {}
        self.answers = 0
        self.notes: list[dict[str, Any]] = []
        self.ready = False
        self.worn = 0
        self.wants: list[int] = []
        self.exit_code: int | None = None

    def __enter__(self) -> Self:
        while not self.ready:
            assert self.hear(), "the child did not start"
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()
        try:
            self.exit_code = self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self.slots.close()
            self.said.seek(0)
            # For pytest to show.
            print(self.said.read().decode(errors="replace"), file=sys.stderr)
            self.said.close()

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    def log(self) -> str:
        """What it has written to standard error."""
        size = os.fstat(self.said.fileno()).st_size
        return os.pread(self.said.fileno(), size, 0).decode(errors="replace")

    def hear(self) -> bool:
        """Take what comes next; False at the end of the stream."""
        data = self._socket.recv(1 << 20)
        for kind, body in self._frames.feed(data):
            if kind is Kind.HELLO:
                self.ready = True
            elif kind is Kind.WORN:
                self.worn += 1
            elif kind is Kind.WANT:
                self.wants += unpack_ids(body)
            else:
                assert kind is Kind.ANSWER
                self._take(body)
        return bool(data)

    def _take(self, body: bytes) -> None:
        answer = unpack_answer(body)
        if not answer.document:
            self.outcomes.update({job: {"state": "stored"} for job in answer.ids})
            return
        told = json.loads(answer.document)
        if not answer.ids:
            self.notes += told["notes"]
            return
        assert told["batch"] == answer.batch_no
        ok = [int(job) for job in told["ok"][1:-1].split(",") if job]
        rest = {one["id"]: one for one in told["rest"]}
        assert sorted(answer.ids) == sorted([*ok, *rest])
        assert not self.outcomes.keys() & set(answer.ids), "a job was answered twice"
        self.outcomes.update(rest | {job: {"state": "succeeded"} for job in ok})
        self.answers += 1

    def send(self, *lines: str | bytes) -> None:
        """Send a batch of lines as `pgqueue.claim` writes them."""
        self._batch_no += 1
        raw = [line.encode() if isinstance(line, str) else line for line in lines]
        self._socket.sendall(pack_batch(self._batch_no, len(raw), b"\n".join(raw)))

    def ask_back(self) -> None:
        """Ask for what has not started."""
        self._socket.sendall(pack(Kind.RETURN))

    def cancel(self, *ids: int) -> None:
        """Say that jobs should stop."""
        self._socket.sendall(pack(Kind.CANCEL, pack_ids(ids)))

    def quit(self) -> int:
        """Ask it to end; gives its exit code."""
        self._socket.sendall(pack(Kind.QUIT))
        while self.hear():
            continue
        return self._process.wait(PATIENCE)

    def wait(self, *ids: int) -> list[dict[str, Any]]:
        """Wait for the outcomes of jobs."""
        deadline = time.monotonic() + PATIENCE
        while not all(job in self.outcomes for job in ids):
            assert time.monotonic() < deadline, f"no answer for {set(ids) - self.outcomes.keys()}"
            assert self.hear(), "the child has ended"
        return [self.outcomes[job] for job in ids]


def line(
    job: int,
    task: str,
    *args: object,
    attempt: int = 1,
    lost: int = 0,
    options: dict[str, object] | None = None,
    **kwargs: object,
) -> str:
    """Write a job as `pgqueue.claim` does; `task` is one of tests.acceptance.tasks, or a whole
    name."""
    name = task if "." in task else f"tests.acceptance.tasks.{task}"
    return json.dumps([job, attempt, lost, name, args, kwargs, "default", 0, options])


def main() -> None:
    """Be the child."""
    fd, memory, threads, app, timeout = sys.argv[1:]
    registry = load_apps(app.split(",")).registry
    slots = Slots(int(memory), int(threads))
    connection = socket.socket(fileno=int(fd))
    Child(connection, slots, registry, float(timeout) or None).main()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
