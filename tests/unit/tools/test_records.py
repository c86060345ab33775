"""A record of a long target is up to date until a file that it covers changes, appears or disappears."""

import subprocess
from pathlib import Path

import pytest

from tools.records import RunRecord, changes, content_hashes, load, save


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a file, and a directory with a file and an ignored one."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "directory").mkdir()
    for name, text in {"one": "1", "directory/two": "2", "directory/built": "3", ".gitignore": "built\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_files_and_directories_are_covered_without_what_git_ignores(repository: Path) -> None:
    assert list(content_hashes(["one", "directory"], repository)) == ["directory/two", "one"]


def test_a_name_that_is_not_found_is_an_error(repository: Path) -> None:
    with pytest.raises(ValueError, match="covers three, which is not found"):
        content_hashes(["one", "three"], repository)


def test_every_change_of_what_a_record_covers_is_named(repository: Path) -> None:
    covered = ["one", "directory"]
    record = RunRecord("2026-11-29", {}, content_hashes(covered, repository))
    assert changes(record, content_hashes(covered, repository)) == []
    (repository / "one").write_text("2")
    (repository / "directory" / "two").rename(repository / "directory" / "three")
    assert changes(record, content_hashes(covered, repository)) == [
        "directory/three was added",
        "directory/two was removed",
        "one changed",
    ]


def test_a_target_without_a_record_was_never_run() -> None:
    assert changes(None, {}) == ["never run"]


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert load(path) == {}
    records = {"go": RunRecord("2026-11-29", {"events": 100, "library": "franz-go"}, {"a": "0"})}
    save(path, records)
    assert load(path) == records
