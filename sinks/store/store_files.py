"""The files of a store: the database, its write-ahead log, and the index of that log."""

import contextlib
from pathlib import Path
from typing import Final

_ENDING: Final = ".sqlite3"
_SUFFIXES: Final = ("", "-wal", "-shm")


def set_aside(path: Path, prefix: str) -> Path:
    """Rename a store that nobody has open to `PREFIX-NUMBER` in its directory; returns the new name.

    The number is higher than those of the stores that have such a name.
    """
    number = 1 + max((_number(each, prefix) for each in stores_aside(path.parent, prefix)), default=0)
    target = path.with_name(f"{prefix}-{number}{_ENDING}")
    # The database last: after an interruption it still has its name, so it is found again.
    for suffix in reversed(_SUFFIXES):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")
    return target


def stores_aside(directory: Path, prefix: str) -> list[Path]:
    """The stores that were set aside with a prefix, oldest first."""
    found = (path for path in directory.glob(f"{prefix}-*{_ENDING}") if path.stem.removeprefix(f"{prefix}-").isdigit())
    return sorted(found, key=lambda path: _number(path, prefix))


def delete(path: Path) -> None:
    """Delete a store that nobody has open."""
    for suffix in _SUFFIXES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _number(path: Path, prefix: str) -> int:
    return int(path.stem.removeprefix(f"{prefix}-"))
