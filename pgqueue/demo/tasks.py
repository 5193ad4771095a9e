"""The task of the demonstration, as an application would write it: it tells what is in a file.

Workers import this module, and need nothing else of the demonstration.
"""

import hashlib
import os
import time
from dataclasses import dataclass

import psycopg

from pgqueue import task
from pgqueue.core.context import Context

_CHUNK = 1 << 20

_BEGIN = """
WITH run AS (
    INSERT INTO demo.runs (job_id, document_id, attempt, began_at)
    VALUES (%s, %s, %s, to_timestamp(%s))
)
SELECT d.path FROM demo.documents AS d WHERE d.id = %s
"""
_WRITE = """
UPDATE demo.documents
SET lines = %s, words = %s, sha256 = %s, unreadable = %s, job_id = %s, found_at = clock_timestamp()
WHERE id = %s
"""

# One connection for each child process, opened by its first job: the process that the children are
# forked from has none to share.
_opened: list[psycopg.Connection[tuple[str]]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Hold what is in a file: newlines, words between white space, and the hash of its bytes."""

    lines: int
    words: int
    sha256: str


@task(context=True)
def examine(context: Context, document_id: int) -> None:
    """Read the file of a document, and write the finding back to its row.

    It may run twice, when its worker dies before the end is written down: writing the same finding
    to the same row again changes nothing.

    Raises:
        LookupError: there is no such document, so that this job should not exist.
    """
    began_at = time.time()
    connection = _connection()
    # A transaction of its own, so that a run that never ends is counted too.
    found = connection.execute(
        _BEGIN, (context.job_id, document_id, context.attempt, began_at, document_id)
    ).fetchone()
    if found is None:
        raise LookupError(f"there is no document {document_id}")
    lines = words = sha256 = unreadable = None
    try:
        finding = read(found[0])
        lines, words, sha256 = finding.lines, finding.words, finding.sha256
    except OSError as error:  # removed since, or a disk that fails: a finding like another
        unreadable = error.strerror or type(error).__name__
    connection.execute(_WRITE, (lines, words, sha256, unreadable, context.job_id, document_id))


def read(path: str) -> Finding:
    """Count and hash a file, a piece at a time, so that its size does not matter.

    Raises:
        OSError: it cannot be read.
    """
    lines = words = 0
    digest = hashlib.sha256()
    in_word = False
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            lines += piece.count(b"\n")
            # A word that goes on from the piece before was counted there.
            words += len(piece.split()) - (in_word and not piece[:1].isspace())
            in_word = not piece[-1:].isspace()
    return Finding(lines=lines, words=words, sha256=digest.hexdigest())


def _connection() -> psycopg.Connection[tuple[str]]:
    if not _opened or _opened[0].closed:
        _opened[:] = [psycopg.connect(os.environ["PGQUEUE_DSN"], autocommit=True)]
    return _opened[0]
