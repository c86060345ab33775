"""Payloads with fields that are null, missing, new or of another type have valid facts, or a clear answer."""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator import facts
from sources.records import UnknownShapeError
from sources.registry import TOOLS
from tests.fuzz.payloads import CHANGES, ODD, TOOLS_OF_JSON, changed, check, places, read_cases
from tests.support.sources import outcomes, tool_source

_cases = cache(read_cases)


@pytest.mark.parametrize("tool", TOOLS_OF_JSON)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_payloads_have_valid_facts_or_an_answer(tool: str, source_payloads: Path, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(_cases(source_payloads)[tool]))
    document = json.loads(case["document"])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(document))))
        change = data.draw(st.sampled_from(CHANGES))
        document = changed(document, path, change, deepcopy(data.draw(st.sampled_from(ODD))))
    check(tool, case, document)


@pytest.mark.parametrize("tool", TOOLS_OF_JSON)
def test_a_number_beyond_floats_in_each_place_in_turn(tool: str, source_payloads: Path) -> None:
    for case in _cases(source_payloads)[tool]:
        for path in list(places(json.loads(case["document"]))):
            check(tool, case, changed(json.loads(case["document"]), path, "replace", 10**400))


@pytest.mark.parametrize("tool", sorted(TOOLS.keys() - {"csv", "json"}))
@pytest.mark.parametrize("content", [b"", b"[1", b"\xff\xfe", b"[" * 9000, b"a,b\n1,2"])
def test_what_is_not_json_is_no_payload(tool: str, content: bytes) -> None:
    with pytest.raises(UnknownShapeError):
        tool_source(tool).read(content)


@pytest.mark.parametrize("tool", sorted(TOOLS.keys() - {"csv", "events", "json"}))
@pytest.mark.parametrize("content", [b"null", b'{"id": 1}', b"7", b'"x"', b"[1, null]", b'{"data": 1}'])
def test_other_json_is_no_payload(tool: str, content: bytes) -> None:
    """The decoder rejects what is not an event of the product's own contract."""
    with pytest.raises(UnknownShapeError):
        tool_source(tool).read(content)


@pytest.mark.parametrize("tool", sorted(TOOLS.keys() - {"json"}))
def test_no_payload_of_one_tool_is_taken_for_that_of_another(tool: str, source_payloads: Path) -> None:
    """Except where two tools have one shape."""
    for other, cases in _cases(source_payloads).items():
        for case in cases:
            if other == tool or {other, tool} <= {"langfuse", "phoenix"}:
                continue
            try:
                results = outcomes(tool_source(tool), case["document"])
            except UnknownShapeError:
                continue
            assert not [one for one in results if isinstance(one.result, facts.Fact)], (case["file"], tool)
