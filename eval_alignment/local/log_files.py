"""The log files of `up`: appended to by processes that run for months, readable by their owner only, and bounded."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import IO, Final

MOST_BYTES: Final = 8 << 20
"""Size at which a log is moved to `NAME.1`, which replaces the one before."""
_TAIL_BYTES: Final = 1 << 16


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending, and for reading what was written; its directory is made where it is gone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "ab+")
    # A former release may have created it for all to read.
    os.fchmod(file.fileno(), 0o600)
    return file


def cap_log(path: Path, most_bytes: int = MOST_BYTES) -> None:
    """Move the content of a log to `NAME.1` when it has more than `most_bytes`.

    The processes that append to the file go on with an empty one; lines that they write at this moment may be lost. On
    a full disk the content is lost too, because an old log is worth less than room for the store. A log that is gone,
    or whose disk takes no change, stays as it is.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size <= most_bytes:
            return
        old = path.with_name(f"{path.name}.1")
        with contextlib.suppress(OSError):
            old.unlink(missing_ok=True)
            with path.open("rb") as source, open_log(old) as target:
                shutil.copyfileobj(source, target)
        os.truncate(path, 0)


def last_lines(path: Path, lines: int) -> str:
    """The last lines of a log."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
