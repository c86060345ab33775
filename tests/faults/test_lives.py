"""What the soak says of a life: a leak is found, the steps of an allocator are not taken for one."""

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
    found = []
    for number in range(int(seconds / EVERY)):
        at = number * EVERY
        warm = BASE * min(1.0, 0.5 + at / (seconds / 4))
        resident = warm + per_hour * at / 3600 + rng.uniform(-noise, noise)
        found.append(Sample(at, int(resident), int(20 + descriptors * at / 3600)))
    return found


def test_warm_up_and_steps_are_no_growth() -> None:
    found = life_of("w1", life(7200, 0.0))
    assert found is not None
    assert found.judged
    assert growing([found]) == []


def test_a_leak_is_found() -> None:
    """300 events a second that leave 16 bytes each are 17 MB an hour."""
    found = life_of("w1", life(7200, 300 * 3600 * 16))
    assert found is not None
    assert growing([found]) == [found]
    assert "MB, +1" in str(found)


def test_bursts_that_are_given_back_are_no_growth() -> None:
    """One in each window of five minutes, one larger than the other, for a minute each."""
    samples = [
        each._replace(resident=each.resident + int(each.at / 60 * MB)) if each.at % WINDOW_SECONDS < 60 else each
        for each in life(7200, 0.0)
    ]
    found = life_of("w1", samples)
    assert found is not None
    assert growing([found]) == []
    assert abs(found.resident - BASE) < 3 * MB


def test_descriptors_that_are_not_closed_are_found() -> None:
    found = life_of("view", life(7200, 0.0, descriptors=10))
    assert found is not None
    assert growing([found]) == [found]


def test_a_short_life_is_not_judged() -> None:
    found = life_of("w1", life(JUDGED_SECONDS - 60, 100 * MB))
    assert found is not None
    assert growing([found]) == []
    assert life_of("w1", life(15, 0.0)) is None


def test_the_longest_life_under_a_name_counts() -> None:
    lives = Lives()
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as other:
        for second in range(24):
            lives.look({"w1": other.pid if second < 8 else os.getpid(), "gone": 2**22 + 1}, float(second))
    (found,) = lives.longest()
    assert found.name == "w1"
    assert found.seconds == 15
    assert abs(found.resident - resident_bytes(os.getpid())) < 50 * MB
