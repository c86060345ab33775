"""Files that commands write."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def replaced_when_whole(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` when the context ends without an exception.

    Until then, and after an exception, the earlier file stays as it is. The new one keeps its mode. What is no regular
    file, such as a pipe or /dev/null, is written to directly. A symbolic link stays, and its target is replaced.

    Raises OSError.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with target.open("wb") as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as new:
        try:
            yield new
            new.flush()
            os.fsync(new.fileno())
            if mode is not None:
                os.fchmod(new.fileno(), stat.S_IMODE(mode))
            Path(new.name).replace(target)
        except BaseException:
            Path(new.name).unlink()
            raise
