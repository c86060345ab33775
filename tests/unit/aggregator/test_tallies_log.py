"""The rules that every reader of the tallies log shares, one test each."""

from typing import Any

import orjson
import pytest

from aggregator.tallies import MARKER_KEY
from aggregator.tallies_log import LedgerTallies, TalliesReader

A = b'["annotations","q","overall","2026-05-28"]'
B = b'["annotations","q","overall","2026-05-29"]'


class Recorder(TalliesReader):
    """Records what happened, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[Any, ...]] = []

    def on_late(self, ledger: LedgerTallies, key: bytes) -> None:
        self.events.append(("late", ledger.id, key))

    def on_policy_change(self, ledger: LedgerTallies) -> None:
        if ledger.open:
            self.events.append(("dropped", *ledger.open))

    def on_close(self, ledger: LedgerTallies, marker: Any, offset: int) -> None:
        assert marker["position"] == ledger.highest
        self.events.append(("closed", offset, {key: position for key, (position, _) in ledger.open.items()}))


def read(*records: tuple[bytes, int, dict[str, Any]]) -> Recorder:
    """Read (key, position, other fields) from offset 0 on."""
    reader = Recorder()
    for offset, (key, position, fields) in enumerate(records):
        stamp = {"ledger": "l", "position": position, "policy": "each", "at": 1, "sources": {}}
        reader.tally(offset, key, orjson.dumps({**stamp, **fields}))
    return reader


def test_a_marker_closes_the_last_record_of_each_tally_since_the_marker_before() -> None:
    reader = read((A, 1, {}), (A, 2, {}), (MARKER_KEY, 2, {}), (B, 3, {}), (MARKER_KEY, 3, {}))
    assert reader.events == [("closed", 2, {A: 2}), ("closed", 4, {B: 3})]


def test_a_record_below_the_highest_position_is_late_and_an_equal_one_is_not() -> None:
    reader = read((A, 5, {}), (B, 4, {}), (MARKER_KEY, 4, {}), (B, 5, {}), (MARKER_KEY, 5, {}))
    assert reader.events == [("late", "l", B), ("late", "l", MARKER_KEY), ("closed", 4, {A: 5, B: 5})]
    assert reader.ledgers["l"].highest == 5


def test_a_change_of_policy_drops_the_open_tallies_and_keeps_the_closed_ones() -> None:
    reader = read((A, 1, {}), (MARKER_KEY, 1, {}), (A, 2, {}), (B, 3, {"policy": "latest"}), (MARKER_KEY, 3, {}))
    assert reader.events == [("closed", 1, {A: 1}), ("dropped", A), ("dropped", B), ("closed", 4, {})]


@pytest.mark.parametrize(("stated", "closes"), [({"offset": 1}, True), ({"offset": 0}, False), ({}, True)])
def test_a_marker_closes_only_at_the_offset_that_it_states_if_any(stated: dict[str, int], closes: bool) -> None:
    reader = read((A, 1, {}), (MARKER_KEY, 1, stated))
    assert reader.events == ([("closed", 1, {A: 1})] if closes else [])
    assert bool(reader.ledgers["l"].open) is not closes


def test_records_of_another_ledger_are_read_apart() -> None:
    reader = read((A, 9, {"ledger": "lost"}), (B, 1, {}), (MARKER_KEY, 1, {}))
    assert reader.events == [("closed", 2, {B: 1})]
    assert set(reader.ledgers["lost"].open) == {A}


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (A, b'{"ledger":"l","policy":"each"}', "position"),
        (A, b'{"ledger":"l","policy":"each","position":-1}', "position"),
        (A, b'{"ledger":"l","policy":"each","position":9007199254740992}', "position"),
        (A, b'{"ledger":"l","policy":"each","position":1,"x":' + b"[" * 100_000, "deeply|malformed|truncated"),
        (MARKER_KEY, b'{"ledger":"l","policy":"each","position":5,"at":"x","sources":null}', "at"),
        (MARKER_KEY, b'{"ledger":"l","policy":"each","position":5,"at":1000000000000000000,"sources":{}}', "at"),
    ],
)
def test_an_invalid_record_is_an_error_and_changes_nothing(key: bytes, value: bytes, problem: str) -> None:
    reader = read((A, 1, {}))
    with pytest.raises(ValueError, match=problem):
        reader.tally(1, key, value)
    assert reader.ledgers["l"].highest == 1
    assert set(reader.ledgers["l"].open) == {A}
