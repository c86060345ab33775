"""A step that needs more instructions than on record is found, and so is a step that is on one side only."""

import pytest

from bench.hot_path import LOOP
from bench.instructions import LIMIT, grown, relative


@pytest.mark.parametrize(("now", "found"), [(LIMIT * 4.01, True), (LIMIT * 3.99, False), (1.0, False)])
def test_growth_over_the_limit_is_found(now: float, *, found: bool) -> None:
    assert [line.partition(":")[0] for line in grown({"fold": 4.0}, {"fold": now})] == (["fold"] if found else [])


def test_steps_of_one_side_are_found() -> None:
    assert list(grown({"old": 1.0}, {"new": 1.0})) == ["new: not on record", "old: no longer a step"]


def test_steps_are_multiples_of_the_fixed_loop() -> None:
    assert relative({LOOP: 50.0, "fold": 200.0}) == {"fold": 4.0}
