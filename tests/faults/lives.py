"""Memory and open descriptors of processes over time, and whether either grows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import NamedTuple

from tests.support.processes import resident_bytes

WARM = 1 / 3
"""Of a process. Interpreter, caches and allocator fill until then, and it has owned all partitions once."""
JUDGED_SECONDS = 1800.0
"""Shorter lives are reported and not judged: one step of the allocator would be a slope."""
WINDOW_SECONDS = 300.0
"""Memory is the minimum of each window, of a short life of each twelfth: memory of a burst is returned once a minute,
and a leak stays."""
GROWTH_PER_HOUR = 0.05
"""Of the resident memory. The rows stay the same, so memory has no reason to grow: a leak of 16 bytes by each of 300
events a second is 20 % an hour. The allowance is for the allocator, as partitions come and go."""
MORE_DESCRIPTORS = 4
"""A connection to the broker and one to a peer, in two directions, may be open or not at a sample."""


class Sample(NamedTuple):
    """Seconds, resident bytes, open descriptors."""

    at: float
    resident: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Life:
    """One process from the end of its warm-up on: seconds of its whole life, lasting memory (bytes; the median of the
    minimum of each window), its growth (share per hour), and the median number of descriptors in the first and in the
    second half.
    """

    name: str
    seconds: float
    resident: float
    growth: float
    descriptors: tuple[float, float]

    def __str__(self) -> str:
        first, second = self.descriptors
        return (
            f"{self.name} in {self.seconds / 60:.0f} min: {self.resident / 1e6:.0f} MB, {self.growth:+.1%} an hour, "
            f"{first:.0f} then {second:.0f} descriptors"
        )

    @property
    def judged(self) -> bool:
        """Whether it was long enough to be judged."""
        return self.seconds >= JUDGED_SECONDS

    @property
    def flat(self) -> bool:
        """Whether neither memory nor descriptors grow."""
        first, second = self.descriptors
        return self.growth <= GROWTH_PER_HOUR and second <= first + MORE_DESCRIPTORS


class Lives:
    """Samples of processes by name and id."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)

    def look(self, processes: Mapping[str, int], at: float) -> None:
        """Sample each process at that second."""
        for name, pid in processes.items():
            if (taken := sample(pid, at)) is not None:
                self._samples[name, pid].append(taken)

    def longest(self) -> list[Life]:
        """The longest life under each name, where it has enough samples."""
        lives: dict[str, Life] = {}
        for (name, _), samples in self._samples.items():
            life = life_of(name, samples)
            if life is not None and (name not in lives or life.seconds > lives[name].seconds):
                lives[name] = life
        return [lives[name] for name in sorted(lives)]


def sample(pid: int, at: float) -> Sample | None:
    """Its sample at that second; None when the process has ended."""
    try:
        resident = resident_bytes(pid)
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    return Sample(at, resident, descriptors) if resident else None


def life_of(name: str, samples: Sequence[Sample]) -> Life | None:
    """The life that the samples describe; None for too few samples."""
    seconds = samples[-1].at - samples[0].at
    warm = [each for each in samples if each.at >= samples[0].at + WARM * seconds]
    if len(warm) < 4:
        return None
    held = _least(warm, min(WINDOW_SECONDS, seconds / 12))
    resident = median(each.resident for each in held)
    slope = linear_regression([each.at for each in held], [each.resident for each in held]).slope
    half = len(warm) // 2
    first, second = (median(each.descriptors for each in part) for part in (warm[:half], warm[half:]))
    return Life(name, seconds, resident, slope * 3600 / resident, (first, second))


def _least(samples: Sequence[Sample], seconds: float) -> list[Sample]:
    """The sample with the least memory of each window of so many seconds."""
    windows: dict[int, list[Sample]] = defaultdict(list)
    for each in samples:
        windows[int((each.at - samples[0].at) // seconds)].append(each)
    return [min(window, key=lambda each: each.resident) for window in windows.values()]


def growing(lives: Iterable[Life]) -> list[Life]:
    """The lives that are judged, and grow."""
    return [life for life in lives if life.judged and not life.flat]
