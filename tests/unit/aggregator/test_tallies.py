"""Records of the tallies log are checked where they are read: with any bytes, they parse or raise ValueError."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import tallies
from aggregator.facts import parse as parse_fact

CELLS = ("cells", "q", "overall", "m", "2026-05-28")
ANNOTATIONS = ("annotations", "q", "overall", "2026-05-28")
EVALUATIONS = ("evaluations", "q", "m", "2026-05-28")
VECTOR = [0] * 14

counts = st.integers(0, 2**40 - 1)
vectors = st.lists(counts, min_size=14, max_size=14)
payloads: dict[tallies.TallyGroup, st.SearchStrategy[dict[str, Any]]] = {
    CELLS: st.fixed_dictionaries(
        {
            "judges": st.dictionaries(
                st.text(max_size=5), st.fixed_dictionaries({"current": vectors, "superseded": vectors}), max_size=3
            )
        }
    ),
    ANNOTATIONS: st.fixed_dictionaries({"annotations": counts, "contributing": counts}),
    EVALUATIONS: st.fixed_dictionaries(dict.fromkeys(tallies.COVERAGE, counts)),
}
groups = st.sampled_from(tuple(payloads))
odd = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(-1, 2**40), max_size=15)
    | st.dictionaries(st.text(max_size=3), st.integers(-1, 1), max_size=2)
)
"""Values that stand where something else is expected."""


@given(st.data(), groups)
def test_what_a_worker_writes_is_read_as_it_was_written(data: st.DataObject, group: tallies.TallyGroup) -> None:
    payload = data.draw(payloads[group])
    value = orjson.dumps({**payload, "ledger": "l", "position": 7, "policy": "each"})
    part = data.draw(st.integers(0, 2**53 - 1)) if group[0] == "cells" else 0
    assert tallies.parse_key(tallies.group_key(group, part)) == (group, part)
    assert tallies.parse_payload(group, value) == payload
    assert tallies.parse_stamp(value) == tallies.TallyStamp("l", 7, "each")


def places(payload: Any) -> list[tuple[Any, Any]]:
    """Every container of a payload, with each key or index in it."""
    found = []
    inside = payload.items() if isinstance(payload, dict) else enumerate(payload) if isinstance(payload, list) else ()
    for name, part in inside:
        found += [(payload, name), *places(part)]
    return found


@given(st.data(), groups, odd)
def test_a_payload_with_one_odd_value_is_whole_or_an_error(
    data: st.DataObject, group: tallies.TallyGroup, value: Any
) -> None:
    payload = data.draw(payloads[group])
    container, name = data.draw(st.sampled_from(places(payload)))
    container[name] = value
    try:
        read = tallies.parse_payload(group, orjson.dumps(payload, default=str, option=orjson.OPT_PASSTHROUGH_SUBCLASS))
    except (ValueError, TypeError):
        return
    check(group, read)


def check(group: tallies.TallyGroup, payload: Any) -> None:
    """That a payload has every field of its kind, and numbers that can be counted with."""
    if group[0] == "cells":
        vectors = [vector for cells in payload["judges"].values() for vector in (cells["current"], cells["superseded"])]
        numbers = [number for vector in vectors for number in vector]
        assert all(len(vector) == 14 for vector in vectors)
    else:
        assert set(payload) == set(tallies.empty(group))
        numbers = list(payload.values())
    assert all(type(number) is int and 0 <= number < 2**40 for number in numbers)


@given(st.binary() | st.lists(st.text(max_size=12) | st.integers(-9, 9), max_size=6).map(orjson.dumps))
def test_any_key_is_a_group_or_an_error(key: bytes) -> None:
    try:
        read = tallies.parse_key(key)
    except ValueError:
        return
    tallies.empty(read.group)


@pytest.mark.parametrize(
    "key", [b'["cells", "q","overall","m","2026-05-28"]', b'["cells","\\u0071","overall","m","2026-05-28"]']
)
def test_the_same_group_in_other_bytes_is_no_key(key: bytes) -> None:
    with pytest.raises(ValueError, match="other bytes"):
        tallies.parse_key(key)


@given(groups, st.binary())
def test_any_bytes_are_a_record_or_an_error(group: tallies.TallyGroup, value: bytes) -> None:
    for parse in (tallies.parse_stamp, tallies.parse_marker, lambda value: tallies.parse_payload(group, value)):
        with pytest.raises(ValueError, match=r".*"):
            parse(value)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"judges": None},
        {"judges": {"": {"current": VECTOR}}},
        {"judges": {"": {"current": [1], "superseded": VECTOR}}},
        {"judges": {"": {"current": [-50] * 14, "superseded": VECTOR}}},
        {"judges": {"": {"current": [2**40, *VECTOR[1:]], "superseded": VECTOR}}},
        {"judges": {"": {"current": [0.5, *VECTOR[1:]], "superseded": VECTOR}}},
    ],
)
def test_cells_that_no_worker_writes_are_an_error(payload: Any) -> None:
    with pytest.raises(ValueError, match="judges"):
        tallies.parse_payload(CELLS, orjson.dumps(payload))


def test_an_integer_beyond_64_bits_is_an_error() -> None:
    cells = orjson.dumps({"judges": {"": {"current": VECTOR, "superseded": VECTOR}}})
    with pytest.raises(ValueError, match=r"current"):
        tallies.parse_payload(CELLS, cells.replace(b"[0,", b"[1" + b"0" * 300 + b",", 1))


@pytest.mark.parametrize(
    "day", ["not a day", "", "2026-02-30", "20260528", "2026-W22-4", "1969-12-31", "2026-05-28T00"]
)
def test_a_key_without_a_real_day_is_an_error(day: str) -> None:
    with pytest.raises(ValueError, match="UTC day"):
        tallies.parse_key(tallies.group_key(("annotations", "q", "overall", day)))


@pytest.mark.parametrize("group", [("cells", "q", "2026-05-28"), ("unknown", "q", "2026-05-28"), ("closed",), ()])
def test_a_key_of_another_kind_or_arity_is_an_error(group: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no kind"):
        tallies.parse_key(tallies.group_key(group))


@pytest.mark.parametrize("part", [0, -1, 1 << 53, 1.0, True, "1", None])
def test_a_part_is_a_number_from_1(part: object) -> None:
    with pytest.raises(ValueError, match="invalid key"):
        tallies.parse_key(orjson.dumps([*CELLS, part]))


def test_only_cells_have_parts() -> None:
    with pytest.raises(ValueError, match="invalid key"):
        tallies.parse_key(tallies.group_key(("annotations", "q", "overall", "2026-05-28"), 1))


def test_deep_nesting_is_an_error_everywhere() -> None:
    """A decoder that recurses raises RecursionError, which is no ValueError."""
    nested = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(ValueError, match="deeply"):
        tallies.parse_stamp(b'{"ledger":"l","position":1,"policy":"each","x":' + nested + b"}")
    with pytest.raises(ValueError, match="deeply"):
        tallies.parse_payload(CELLS, b'{"x":' + nested + b"}")
    with pytest.raises(ValueError, match="deeply"):
        parse_fact(b'["a","q","i","overall",""]', b'{"at":1,"id":"a","queue":"q","item":"i","x":' + nested + b"}")
    with pytest.raises(ValueError, match=r"recursion|nested|depth"):
        tallies.parse_key(nested)


MARKER: dict[str, Any] = {"ledger": "l", "position": 7, "policy": "each", "at": 5, "sources": {}}
WAITING: dict[str, Any] = {
    "rebuilding": 4,
    "missing": 0,
    "evaluations": 3,
    "since": 9,
    "sample": ["a", "b"],
    "judges": [["m", "v1", 1, 2, 3]],
}


def read_waiting(waiting: bytes) -> Any:
    """What a reader gets as `waiting` of a marker that has these bytes there."""
    marker = tallies.parse_marker(orjson.dumps(MARKER)[:-1] + b',"waiting":' + waiting + b"}")
    assert {name: value for name, value in marker.items() if name != "waiting"} == MARKER
    return marker.get("waiting")


def test_a_marker_reports_what_waits() -> None:
    assert read_waiting(orjson.dumps(WAITING)) == {**WAITING, "judges": [("m", "v1", 1, 2, 3)]}
    assert "waiting" not in tallies.parse_marker(orjson.dumps(MARKER))


@given(st.data(), odd)
def test_an_invalid_report_of_what_waits_never_makes_a_marker_invalid(data: st.DataObject, value: Any) -> None:
    waiting = orjson.loads(orjson.dumps(WAITING))
    container, name = data.draw(st.sampled_from([*places(waiting), (None, None)]))
    if container is None:
        waiting = value
    else:
        container[name] = value
    try:
        written = orjson.dumps(waiting)
    except TypeError:
        return
    read = read_waiting(written)
    assert read is None or read.keys() <= WAITING.keys()


@pytest.mark.parametrize("waiting", [b"[" * 600 + b"]" * 600, b"1" * 5_000, b'{"rebuilding":1}', b"null"])
def test_a_report_that_nobody_can_read_is_passed_over(waiting: bytes) -> None:
    assert read_waiting(waiting) is None


def test_a_long_report_is_cut() -> None:
    judges = [["m", f"v{number}", 1, 2, 3] for number in range(tallies.WAITING_JUDGES + 5)]
    read = read_waiting(orjson.dumps({**WAITING, "sample": list("abcde"), "judges": judges}))
    assert read["sample"] == ["a", "b", "c"]
    assert read["judges"] == [tuple(judge) for judge in judges[:-5]]


def read_quarantined(quarantined: bytes) -> Any:
    """What a reader gets as `quarantined` of a marker that has these bytes there."""
    waiting = b',"waiting":' + orjson.dumps(WAITING)
    marker = tallies.parse_marker(orjson.dumps(MARKER)[:-1] + waiting + b',"quarantined":' + quarantined + b"}")
    assert {name: value for name, value in marker.items() if name not in {"waiting", "quarantined"}} == MARKER
    assert "waiting" in marker
    return marker.get("quarantined")


def test_a_marker_reports_a_bounded_number_of_bounded_reasons_of_quarantine() -> None:
    assert read_quarantined(b'{"3":"facts[3] at 5: no row"}') == {"3": "facts[3] at 5: no row"}
    many = read_quarantined(orjson.dumps({str(number): "x" * 10_000 for number in range(500)}))
    assert len(many) == tallies.QUARANTINED
    assert {(len(reason), reason[-2:]) for reason in many.values()} == {(tallies.QUARANTINE_CHARACTERS, "x…")}


@given(odd)
def test_an_invalid_report_of_quarantine_never_makes_a_marker_invalid(value: Any) -> None:
    try:
        written = orjson.dumps(value)
    except TypeError:
        return
    assert read_quarantined(written) in (None, value)


@pytest.mark.parametrize("quarantined", [b"[" * 600 + b"]" * 600, b'{"3":1}', b'"3"', b"null", b"{}"])
def test_a_quarantine_that_nobody_can_read_is_passed_over(quarantined: bytes) -> None:
    assert read_quarantined(quarantined) is None
