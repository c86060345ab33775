"""Reads files with secrets: within a bound, with a warning when others may read them, and never with a secret in a
message. Warns of a directory whose files others may replace.
"""

import logging
import os
import stat
from pathlib import Path
from typing import Final

FILE_BYTES: Final = 1 << 16
"""Largest file."""
SECRET_BYTES: Final = 4_096
"""Largest secret: servers and proxies take no longer header."""

_log = logging.getLogger(__name__)


def read_secret_file(path: Path) -> bytes:
    """The content of a file. Raises OSError, and ValueError for a file that is too large."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        content = file.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise ValueError(f"larger than {FILE_BYTES:,} bytes")
    if is_shared(status, os.geteuid()):
        _log.warning(
            "file with secrets is readable by other users: allow its owner only, such as with `chmod 600`",
            extra={"file": str(path), "mode": f"{stat.S_IMODE(status.st_mode):04o}"},
        )
    return content


def is_shared(status: os.stat_result, user: int) -> bool:
    """Whether others than `user` may read a regular file for no reason.

    The group of a file that belongs to somebody else is how `user` may read it: Kubernetes mounts secrets as files of
    root with the group of the pod, and systemd hands over credentials of root with an entry for the user.
    """
    unneeded = stat.S_IROTH | (stat.S_IRGRP if status.st_uid == user else 0)
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & unneeded)


def warn_of_shared_directory(path: Path) -> None:
    """Log a warning when every user may replace the files in a directory. One that does not exist is not an error."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & stat.S_IWOTH:
        _log.warning(
            "directory is writable by every user, who may replace the files in it: allow its owner only, such as with "
            "`chmod 700`",
            extra={"directory": str(path), "mode": f"{stat.S_IMODE(mode):04o}"},
        )


def invalid_secret(secret: bytes) -> str | None:
    """Why a secret cannot be sent in a header; None if it can."""
    if len(secret) > SECRET_BYTES:
        return f"has {len(secret):,} bytes, expected at most {SECRET_BYTES:,}"
    if not all(0x21 <= byte <= 0x7E for byte in secret):
        return "has a character that is not printable ASCII, or a space: was the file saved as plain text?"
    return None
