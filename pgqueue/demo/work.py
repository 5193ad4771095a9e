"""What the application of the demonstration does: find files, and enqueue a job for each of them
in the transaction that writes its row. Every tenth transaction is rolled back on purpose.
"""

import os
import stat
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from pgqueue.core.errors import ConfigurationError
from pgqueue.demo.tasks import examine

#: Larger files are left out: this shows the queue, not the disk.
LARGEST: Final = 64 << 20
_ROLL_BACK_EVERY: Final = 10
_LEFT_OUT: Final = frozenset({"__pycache__", "site-packages", "dist-packages"})

_TABLES: Final = """
CREATE SCHEMA demo;
CREATE TABLE demo.documents (
    id bigint PRIMARY KEY,
    path text NOT NULL,
    size bigint NOT NULL,
    lines bigint,
    words bigint,
    sha256 text,
    unreadable text,
    job_id bigint,
    found_at timestamptz
);
CREATE TABLE demo.runs (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL,
    document_id bigint NOT NULL,
    attempt integer NOT NULL,
    began_at timestamptz NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Hold a file to be examined."""

    path: str
    size: int


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Remember what the application did: the truth that the database is held against.

    Attributes:
        committed: the document of each job whose transaction was committed.
        committed_at: when its commit returned, by `time.time()`.
        rolled_back: the document of each job whose transaction was rolled back.
    """

    committed: dict[int, int] = field(default_factory=dict)
    committed_at: dict[int, float] = field(default_factory=dict)
    rolled_back: dict[int, int] = field(default_factory=dict)


def standard_library() -> Path:
    """Give the directory of Python's own standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find_files(directory: Path, limit: int) -> list[File]:
    """List regular files below a directory that can be read, at most so many.

    Links are not followed; what is installed beside the standard library is left out, and so are
    compiled files and files above 64 MiB.

    Raises:
        ConfigurationError: there is no such directory, or no such file in it.
    """
    top = Path(os.path.abspath(directory))
    try:
        os.scandir(top).close()
    except OSError as error:
        raise ConfigurationError(
            f"the path must be a directory that can be read; got {str(directory)!r}: "
            f"{error.strerror or error}"
        ) from None
    found: list[File] = []
    for file in _walk(top):
        if len(found) == limit:
            break
        found.append(file)
    if not found:
        raise ConfigurationError(
            f"there is no file to read below {str(directory)!r}; give another directory by --path"
        )
    return found


def _walk(top: Path) -> Iterator[File]:
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                path.encode()  # PostgreSQL takes text only
                found = os.lstat(path)
            except (OSError, UnicodeEncodeError):
                continue
            if (
                stat.S_ISREG(found.st_mode)
                and found.st_size <= LARGEST
                and os.access(path, os.R_OK)
            ):
                yield File(path=path, size=found.st_size)


def create_tables(connection: psycopg.Connection[Any]) -> None:
    """Create the application's own tables."""
    connection.execute(_TABLES)


class Producer:
    """Write a document and its job, both or neither, on a connection of the application's.

    Attributes:
        ledger: what was done so far.
        count: how many transactions.
    """

    def __init__(self, dsn: str) -> None:
        """Open the connection."""
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._examine = examine.using(connection=self._connection)
        self.ledger = Ledger()
        self.count = 0

    def add(self, file: File) -> None:
        """Make the transaction for one file, and commit it or (every tenth) roll it back."""
        self.count += 1
        document_id = self.count
        rolls_back = self.count % _ROLL_BACK_EVERY == 0
        with self._connection.transaction(force_rollback=rolls_back):
            self._connection.execute(
                "INSERT INTO demo.documents (id, path, size) VALUES (%s, %s, %s)",
                (document_id, file.path, file.size),
            )
            job = self._examine.enqueue(document_id)
        now = time.time()
        if rolls_back:
            self.ledger.rolled_back[job.id] = document_id
        else:
            self.ledger.committed[job.id] = document_id
            self.ledger.committed_at[job.id] = now

    @staticmethod
    def will_commit(files: int) -> int:
        """Tell how many of so many transactions will be committed."""
        return files - files // _ROLL_BACK_EVERY

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
