"""What processes used so far, from outside: `/proc` and the files of the broker."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, all threads. Needs /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def peak_mib(pid: int) -> float:
    """The most memory that a process had resident so far."""
    return _number(Path(f"/proc/{pid}/status"), "VmHWM") / 1024


def disk_bytes(pid: int) -> int:
    """Bytes that a process caused to be written to a disk so far."""
    return _number(Path(f"/proc/{pid}/io"), "write_bytes")


def _number(file: Path, name: str) -> int:
    """Raises ProcessLookupError where a process that ended is not yet gone."""
    for line in file.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ProcessLookupError(file)


class LogBytes:
    """Bytes that were ever appended to the topics of a broker.

    The most that each segment ever had: compaction makes segments smaller, or removes them.
    """

    def __init__(self, data: Path, *, look_seconds: float = 1.0) -> None:
        self._data = data
        self._look_seconds = look_seconds
        self._segments: dict[str, int] = {}
        self._looked_at = 0.0

    def appended(self) -> int:
        """Their number, at most `look_seconds` old: a look at all segments takes some milliseconds."""
        if time.monotonic() >= self._looked_at + self._look_seconds:
            for segment in self._data.glob("*/*.log"):
                # A topic that is being deleted has another name, and nothing is appended to it.
                with contextlib.suppress(FileNotFoundError):
                    if segment.parent.name.endswith("-delete"):
                        continue
                    size = segment.stat().st_size
                    self._segments[str(segment)] = max(size, self._segments.get(str(segment), 0))
            self._looked_at = time.monotonic()
        return sum(self._segments.values())
