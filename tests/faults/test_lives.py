"""Growth of memory in a soak: a leak is found, and the steps of an allocator are not taken for one."""

import os
import random
import subprocess

from tests.faults.lives import JUDGED_SECONDS, WINDOW_SECONDS, Lives, Sample, growing, life_of
from tests.support.processes import resident_bytes

MB = 1e6
EVERY = 5.0
BASE = 90 * MB


def life(seconds: float, per_hour: float, *, descriptors: float = 0.0, noise: float = 2 * MB) -> list[Sample]:
    """A process that warms up for a while and then grows by so many bytes and descriptors an hour."""
    rng = random.Random(20)
    samples = []
    for number in range(int(seconds / EVERY)):
        at = number * EVERY
        warm = BASE * min(1.0, 0.5 + at / (seconds / 4))
        resident = warm + per_hour * at / 3600 + rng.uniform(-noise, noise)
        samples.append(Sample(at, int(resident), int(20 + descriptors * at / 3600)))
    return samples


def test_warm_up_and_steps_are_no_growth() -> None:
    measured = life_of("w1", life(7200, 0.0))
    assert measured is not None
    assert measured.judged
    assert growing([measured]) == []


def test_a_leak_is_found() -> None:
    """300 events a second that leave 16 bytes each are 17 MB an hour."""
    measured = life_of("w1", life(7200, 300 * 3600 * 16))
    assert measured is not None
    assert growing([measured]) == [measured]
    assert "MB, +1" in str(measured)


def test_bursts_that_are_given_back_are_no_growth() -> None:
    """One in each window of five minutes, one larger than the other, for a minute each."""
    samples = [
        each._replace(resident=each.resident + int(each.at / 60 * MB)) if each.at % WINDOW_SECONDS < 60 else each
        for each in life(7200, 0.0)
    ]
    measured = life_of("w1", samples)
    assert measured is not None
    assert growing([measured]) == []
    assert abs(measured.resident - BASE) < 3 * MB


def test_descriptors_that_are_not_closed_are_found() -> None:
    measured = life_of("view", life(7200, 0.0, descriptors=10))
    assert measured is not None
    assert growing([measured]) == [measured]


def test_a_short_life_is_not_judged() -> None:
    measured = life_of("w1", life(JUDGED_SECONDS - 60, 100 * MB))
    assert measured is not None
    assert growing([measured]) == []
    assert life_of("w1", life(15, 0.0)) is None


def test_the_longest_life_under_a_name_counts() -> None:
    lives = Lives()
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as other:
        for second in range(24):
            lives.look({"w1": other.pid if second < 8 else os.getpid(), "gone": 2**22 + 1}, float(second))
    (measured,) = lives.longest()
    assert measured.name == "w1"
    assert measured.seconds == 15
    assert abs(measured.resident - resident_bytes(os.getpid())) < 50 * MB
