"""The state of the tallies log after a predecessor's late write."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import orjson

from streams.ledger.published import Published

OTHER = b'["annotations","q","overall","2026-05-29"]'
KEY = b'["annotations","q","overall","2026-05-28"]'


def published(*records: tuple[int, int] | tuple[int, None]) -> Published:
    """From (position, annotations), in the order of the log; None is a tally of another group."""

    def stored() -> Iterable[Any]:
        for offset, (position, annotations) in enumerate(records):
            body = {"annotations": annotations or 0, "contributing": 0}
            value = orjson.dumps({**body, "ledger": "l", "position": position, "policy": "each"})
            yield SimpleNamespace(key=OTHER if annotations is None else KEY, value=value, offset=offset, timestamp=0)

    published = Published("l")
    published.read(list(stored()))
    return published


def test_the_later_record_of_the_higher_position_is_kept() -> None:
    assert published((5, 1), (9, 2), (9, 3)).tallies()[KEY] == ("each", {"annotations": 3, "contributing": 0})


def test_a_late_record_of_a_lower_position_must_be_overwritten() -> None:
    """Readers ignore it while earlier records are in the log; after compaction it would be the only one."""
    assert published((9, 2), (5, 1)).tallies()[KEY] is None
    assert published((9, 2), (5, 2)).tallies()[KEY] is None
    assert published((9, 2), (5, 1), (12, 2)).tallies()[KEY] == ("each", {"annotations": 2, "contributing": 0})


def test_tallies_left_open_under_another_policy_must_be_written_again() -> None:
    """Readers drop it when the policy changes; changing the policy back does not restore it."""

    def stored(key: bytes, position: int, policy: str, offset: int) -> Any:
        counts = {"annotations": 1, "contributing": 0, "at": 1, "sources": {}}
        value = {**counts, "ledger": "l", "position": position, "policy": policy}
        return SimpleNamespace(key=key, value=orjson.dumps(value), offset=offset, timestamp=0)

    published = Published("l")
    published.read([stored(KEY, 5, "latest", 0), stored(OTHER, 6, "each", 1), stored(b'["closed"]', 6, "each", 2)])
    assert published.tallies()[KEY] is None
    published.read([stored(KEY, 7, "latest", 3)])
    assert published.tallies()[KEY] is not None and published.tallies()[OTHER] is not None


def test_a_record_is_late_after_any_record_of_a_higher_position() -> None:
    """A reader that has read a successor's tally ignores later records of its predecessors."""
    assert published((9, None), (5, 1)).tallies()[KEY] is None


def test_tallies_left_open_by_a_misplaced_marker_must_be_written_again_under_another_policy() -> None:
    def stored(key: bytes, position: int, policy: str, at: int, **more: int) -> Any:
        counts = {"annotations": 1, "contributing": 0, "at": 1, "sources": {}}
        value = {**counts, "ledger": "l", "position": position, "policy": policy, **more}
        return SimpleNamespace(key=key, value=orjson.dumps(value), offset=at, timestamp=0)

    for place, kept in ((1, True), (2, False)):
        published = Published("l")
        published.read([stored(KEY, 5, "each", 0), stored(b'["closed"]', 5, "each", 1, offset=place)])
        published.read([stored(OTHER, 6, "latest", 2)])
        assert (published.tallies()[KEY] is not None) is kept
