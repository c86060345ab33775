"""Records of long targets, which `.ci/run` does not run: the day of the last run that held, its results, and the
files that it covers, by content.

A target writes a record when it has run. A test compares it with the files of today, so that a change of what a run
covers fails until the target has run again.
"""

import hashlib
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).resolve().parent.parent


class RunRecord(msgspec.Struct, frozen=True):
    """One run that held."""

    day: str
    """The UTC day of the run."""
    results: Mapping[str, str | int]
    """What the run found, for the table on a page."""
    covers: Mapping[str, str]
    """The hash of each covered file, by its path."""


def load(path: Path) -> dict[str, RunRecord]:
    """The records of a file, by name; none where the file does not exist."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, RunRecord]) if path.exists() else {}


def save(path: Path, records: Mapping[str, RunRecord]) -> None:
    """Write the records of a file, in the order of their names."""
    text = msgspec.json.encode(records, order="deterministic")
    path.write_bytes(msgspec.json.format(text, indent=2) + b"\n")


def content_hashes(covered: Iterable[str], root: Path = ROOT) -> dict[str, str]:
    """The hash of each file by its path; `covered` are files, and directories with all that git does not ignore.

    Raises ValueError where nothing of that name exists: a record would then cover less than it states.
    """
    hashes: dict[str, str] = {}
    for name in covered:
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", name]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        paths = [path for path in listed if path and (root / path).is_file()]
        if not paths:
            raise ValueError(f"a record covers {name}, which is not found")
        hashes |= {path: hashlib.sha256((root / path).read_bytes()).hexdigest()[:16] for path in paths}
    return dict(sorted(hashes.items()))


def changes(record: RunRecord | None, current: Mapping[str, str]) -> list[str]:
    """What has changed since the record; empty while it is up to date. `current` are today's hashes."""
    if record is None:
        return ["never run"]
    return [
        f"{path} {'was added' if path not in record.covers else 'was removed' if path not in current else 'changed'}"
        for path in sorted({*record.covers, *current})
        if record.covers.get(path) != current.get(path)
    ]
