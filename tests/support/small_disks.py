"""File systems of a few MB, which tests fill or make read-only. Mounting one needs root."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.requirements import Requirements


@contextlib.contextmanager
def mounted(at: Path, size: str, requirements: Requirements) -> Iterator[Path]:
    """A new file system of a size such as 16m; without the right to mount, the test is skipped."""
    at.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], capture_output=True, check=False
    )
    requirements.provide("mount", done.stderr.decode().strip() if done.returncode != 0 else None)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def resize(disk: Path, size: str) -> None:
    """Make it larger."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


@contextlib.contextmanager
def fill(disk: Path) -> Iterator[None]:
    """No block is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Every write is refused. No file may be open for writing."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
