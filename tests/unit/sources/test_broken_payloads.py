"""Payloads with fields that are null, missing, new or of another type have valid facts, or a clear answer."""

import json
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator import facts
from sources.records import UnknownShapeError
from sources.registry import TOOLS
from streams.events.decoder import KIND_OF, Decoder
from streams.events.encoder import encode_event
from tests.support.sources import outcomes, tool_source

ODD = st.sampled_from([
    None, True, 0, -1, 4.5, 10**25, 10**400, "", "4", "x", "nan", "\ud83d", "2026-13-01T00:00:00Z",
    "0001-01-01T00:00:00Z", [], [None], [[1]], {}, {"id": None}, "\x00", "x" * 300,
])  # fmt: skip
"""Values that a field of a tool does not have, or has seldom."""


@cache
def _cases(payloads: Path) -> dict[str, list[dict[str, Any]]]:
    """The cases with one JSON document, by tool."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for case in tomllib.loads((payloads / "cases.toml").read_text())["case"]:
        if case["file"].endswith(".json"):
            case["document"] = (payloads / case["file"]).read_bytes()
            cases.setdefault(case["source"], []).append(case)
    return cases


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all fields and elements."""
    yield path
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _places(child, (*path, key))


def _changed(document: Any, path: tuple[Any, ...], change: str, value: Any) -> Any:
    if not path:
        return value
    node = document
    for key in path[:-1]:
        node = node[key]
    if change == "remove":
        del node[path[-1]]
    elif change == "add" and isinstance(node[path[-1]], dict):
        node[path[-1]]["a_field_of_a_newer_version"] = value
    else:
        node[path[-1]] = value
    return document


@pytest.mark.parametrize("tool", sorted(TOOLS.keys() - {"csv", "ragas", "json", "confident"}))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_payloads_have_valid_facts_or_an_answer(tool: str, source_payloads: Path, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(_cases(source_payloads)[tool]))
    document = json.loads(case["document"])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(_places(document))))
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        document = _changed(document, path, change, deepcopy(data.draw(ODD)))
    source = tool_source(tool, **case.get("config", {}))
    try:
        results = [outcome.result for outcome in outcomes(source, document)]
    except UnknownShapeError:
        return
    for result in results:
        if isinstance(result, facts.Fact):
            assert Decoder().decode_value(KIND_OF[type(result)], encode_event(result)) == result


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
