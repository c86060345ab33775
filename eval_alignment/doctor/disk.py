"""Observes the free space for the view's store."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eval_alignment.doctor.findings import Finding, ok, problem_found, skipped
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.severity import Severity
from sinks.view import STORE_NAME

_MIB: Final = 1 << 20
_LOW: Final = 1 << 30
_FULL: Final = 200 * _MIB


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a data directory."""

    directory: Path
    free: int
    """Free bytes."""
    store: int
    """Size of the store in bytes."""


def observe_disk(directory: Path) -> Disk | None:
    """Measure the data directory; None when it does not exist on this machine."""
    if not directory.is_dir():
        return None
    store = directory / STORE_NAME
    return Disk(directory, shutil.disk_usage(directory).free, store.stat().st_size if store.is_file() else 0)


def judge_disk(disk: Disk | None, directory: Path) -> list[Finding]:
    """Whether free space is at least 1 GiB and at least the size of the store."""
    if disk is None:
        return [skipped("disk", f"{directory} is not on this machine")]
    observed = f"{disk.directory}: {disk.free // _MIB} MiB free, the store has {disk.store // _MIB} MiB"
    if disk.free < _FULL:
        return [problem_found(Problem.DISK_FULL, observed, Severity.ERROR)]
    return [problem_found(Problem.DISK_FULL, observed)] if disk.free < max(_LOW, disk.store) else [ok("disk", observed)]
