"""Find the SQL files of the schema, version by version; executes nothing.

A version is a folder `0001`, `0002`, … of files `NN_name.sql`, applied in the order of their names.
A version is breaking, so that older workers must stop, if its first file begins with the line
`-- breaking`.
"""

import dataclasses
import functools
import hashlib
import re
from pathlib import Path

from pgqueue.core.errors import ConfigurationError

_FOLDER = re.compile(r"[0-9]{4}")
_FILE = re.compile(r"[0-9]{2}_[a-z0-9_]+\.sql")
_BREAKING = b"-- breaking"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SqlFile:
    """One file of a version."""

    name: str
    content: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """One version of the schema.

    Attributes:
        number: 1 for the folder `0001`.
        files: in the order in which they are applied.
        sha256: of the names and contents of all files.
        breaking: whether workers of an older version must not run on it.
    """

    number: int
    files: tuple[SqlFile, ...]
    sha256: str
    breaking: bool

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.number:04}"


def default_root() -> Path:
    """Return the folder of version folders: inside the package, or beside it in a checkout.

    Raises:
        ConfigurationError: there is neither.
    """
    package = Path(__file__).resolve().parents[1]
    inside = package / "sql"
    if inside.is_dir():
        return inside
    beside = package.parent / "sql"
    # Only a checkout has this file there; a stranger's folder named sql must not be executed.
    if beside.is_dir() and (package.parent / "pyproject.toml").is_file():
        return beside
    raise ConfigurationError(
        f"expected the SQL files of pgqueue in {inside}; install pgqueue again"
    )


def read_versions(root: Path | None = None) -> tuple[SchemaVersion, ...]:
    """Read all versions, oldest first.

    Args:
        root: the folder of version folders; the default is the one that comes with pgqueue.

    Raises:
        ConfigurationError: no versions there, a gap between them, or a file of another name.
    """
    return _read_cached(default_root()) if root is None else _read(root)


@functools.cache
def _read_cached(root: Path) -> tuple[SchemaVersion, ...]:
    return _read(root)


def _read(root: Path) -> tuple[SchemaVersion, ...]:
    folders = sorted(path for path in root.glob("*") if _FOLDER.fullmatch(path.name))
    numbers = [int(path.name) for path in folders]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        found = ", ".join(path.name for path in folders) or "none"
        raise ConfigurationError(
            f"expected version folders 0001, 0002, … without a gap in {root}; got {found}"
        )
    return tuple(_read_version(folder) for folder in folders)


def _read_version(folder: Path) -> SchemaVersion:
    paths = sorted(folder.glob("*.sql"), key=lambda path: path.name)
    for path in paths:
        if not _FILE.fullmatch(path.name):
            raise ConfigurationError(f"expected a file name like 10_jobs.sql; got {path}")
    if not paths:
        raise ConfigurationError(f"expected files like 10_jobs.sql in {folder}; got none")
    files = tuple(SqlFile(name=path.name, content=path.read_bytes()) for path in paths)
    return SchemaVersion(
        number=int(folder.name),
        files=files,
        sha256=_checksum(files),
        breaking=files[0].content.split(b"\n", 1)[0].strip() == _BREAKING,
    )


def _checksum(files: tuple[SqlFile, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        # With the length before it, no content can pass for the beginning of the next file.
        digest.update(f"{file.name}\0{len(file.content)}\0".encode())
        digest.update(file.content)
    return digest.hexdigest()
