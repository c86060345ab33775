"""A source that is killed between any two steps, whose index is lost or an old copy, ends in what its tool has."""

from pathlib import Path

import pytest

from tests.support.source_crashes import PROTECTIONS, survey

FOUND = {
    "acknowledged first": 2,
    "staged": 11,
    "deleted at": 3,
    "events of the topics": 20,
    "positions": 26,
    "outbox": 9,
    "unlisted records": 11,
    "versions of recovered records": 545,
}
"""The seed that shows what happens without a protection."""


async def test_after_crashes_at_any_step_events_state_what_the_tool_has(tmp_path: Path) -> None:
    found = await survey(range(50), tmp_path)
    assert found.wrong == {}
    assert found.crashes.keys() == {
        *("before outbox", "after outbox", "before publish", "after publish", "before commit", "after commit"),
        *("before answer", "before cursor"),
    }
    assert found.lost > 5 and found.copied > 5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(50, 450, 100))
async def test_after_crashes_in_many_histories_events_state_what_the_tool_has(first: int, tmp_path: Path) -> None:
    assert (await survey(range(first, first + 100), tmp_path)).wrong == {}


@pytest.mark.parametrize(("protection", "seed"), FOUND.items())
async def test_without_a_protection_events_are_wrong(protection: str, seed: int, tmp_path: Path) -> None:
    assert (await survey([seed], tmp_path)).wrong == {}
    assert (await survey([seed], tmp_path, [protection])).wrong != {}


def test_every_protection_is_left_out_once() -> None:
    assert FOUND.keys() == {*PROTECTIONS}
