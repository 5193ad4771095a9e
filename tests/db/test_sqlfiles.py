"""The folders of SQL files, as the upgrader and the build see them."""

import hashlib
from pathlib import Path

import pytest

from pgqueue.core.errors import ConfigurationError
from pgqueue.db.sqlfiles import default_root, read_versions
from tests.helpers import ROOT


def write(root: Path, **files: str) -> Path:
    """Write files; the name `v0001__10_jobs` stands for `0001/10_jobs.sql`."""
    for key, content in files.items():
        folder, _, name = key.removeprefix("v").partition("__")
        (root / folder).mkdir(exist_ok=True)
        (root / folder / f"{name}.sql").write_text(content)
    return root


def test_versions_and_files_come_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        v0002__20_b="-- breaking\nSELECT 3;",
        v0001__99_z="SELECT 2;",
        v0001__00_a="-- Purpose: none.\nSELECT 1;",
    )
    (tmp_path / "README.md").write_text("not a version")
    one, two = read_versions(tmp_path)
    assert (one.number, one.folder, one.breaking) == (1, "0001", False)
    assert [file.name for file in one.files] == ["00_a.sql", "99_z.sql"]
    assert one.files[1].content == b"SELECT 2;"
    assert (two.number, two.folder, two.breaking) == (2, "0002", True)


def test_the_checksum_is_of_names_and_bytes(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"00_a.sql\x009\x00SELECT 1;").hexdigest()
    assert read_versions(write(tmp_path, v0001__00_a="SELECT 1;"))[0].sha256 == digest
    seen = {digest}
    for files in (
        {"v0001__00_a": "SELECT 2;"},
        {"v0001__01_b": ""},
        {"v0001__00_a": "SELECT 2;01_b.sql\x000\x00"},
    ):
        seen.add(read_versions(write(tmp_path, **files))[0].sha256)
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("names", "got"),
    [((), "none"), (("0002",), "0002"), (("0001", "0003"), "0001, 0003")],
)
def test_a_gap_is_refused(tmp_path: Path, names: tuple[str, ...], got: str) -> None:
    for name in names:
        write(tmp_path, **{f"v{name}__00_a": ""})
    with pytest.raises(ConfigurationError, match=f"without a gap in .*; got {got}$"):
        read_versions(tmp_path)


def test_a_file_that_would_be_passed_over_is_refused(tmp_path: Path) -> None:
    write(tmp_path, v0001__00_a="", v0001__jobs="")
    with pytest.raises(ConfigurationError, match=r"like 10_jobs\.sql; got .*/jobs\.sql"):
        read_versions(tmp_path)
    (tmp_path / "0002").mkdir()
    (tmp_path / "0001" / "jobs.sql").unlink()
    with pytest.raises(ConfigurationError, match="got none"):
        read_versions(tmp_path)


def test_a_checkout_finds_its_own_files() -> None:
    assert default_root() == ROOT / "sql"
    versions = read_versions()
    assert versions[0].files[0].name == "00_schema.sql"
    assert versions is read_versions()
