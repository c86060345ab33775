"""Fuzzes the mappers of tools: payloads with fields that are null, missing, new or of another type.

Each has valid facts, or a clear answer. The payloads are those of ../shared/data/sources, with a few changes each.
"""

import json
import random
import time
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from aggregator import facts
from sources.records import UnknownShapeError
from sources.registry import TOOLS
from streams.events.decoder import KIND_OF, Decoder
from streams.events.encoder import encode_event
from tests.support.sources import outcomes, tool_source
from tests.support.tree import SHARED

TOOLS_OF_JSON: Final = sorted(TOOLS.keys() - {"csv", "ragas", "json", "confident"})
"""Tools whose payloads are one JSON document."""
ODD: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 4.5, 10**25, 10**400, "", "4", "x", "nan", "\ud83d", "2026-13-01T00:00:00Z",
    "0001-01-01T00:00:00Z", [], [None], [[1]], {}, {"id": None}, "\x00", "x" * 300,
)  # fmt: skip
"""Values that a field of a tool does not have, or has seldom."""
CHANGES: Final = ("replace", "remove", "add")
Case = Mapping[str, Any]
"""A case of cases.toml, with its `document` as bytes."""


def read_cases(payloads: Path) -> dict[str, list[Case]]:
    """The cases with one JSON document, by tool."""
    cases: dict[str, list[Case]] = {}
    for case in tomllib.loads((payloads / "cases.toml").read_text())["case"]:
        if case["file"].endswith(".json"):
            case["document"] = (payloads / case["file"]).read_bytes()
            cases.setdefault(case["source"], []).append(case)
    return cases


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all fields and elements."""
    yield path
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(child, (*path, key))


def changed(document: Any, path: tuple[Any, ...], change: str, value: Any) -> Any:
    """The document with one change, made in place."""
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


def check(tool: str, case: Case, document: Any) -> None:
    """Read a payload. Raises AssertionError for a fact that the workers would not have of its event."""
    source = tool_source(tool, **case.get("config", {}))
    try:
        results = [outcome.result for outcome in outcomes(source, document)]
    except UnknownShapeError:
        return
    for result in results:
        if isinstance(result, facts.Fact):
            assert Decoder().decode_value(KIND_OF[type(result)], encode_event(result)) == result


def run(seconds: float) -> int:
    """Fuzz for a while; returns the number of payloads. Raises what a mapper raises, or AssertionError."""
    until, tried, rng = time.monotonic() + seconds, 0, random.Random()
    cases = read_cases(SHARED / "sources")
    while time.monotonic() < until:
        tool = rng.choice(TOOLS_OF_JSON)
        case = rng.choice(cases[tool])
        document = json.loads(case["document"])
        for _ in range(rng.randint(1, 4)):
            place, value = rng.choice(list(places(document))), deepcopy(rng.choice(ODD))
            document = changed(document, place, rng.choice(CHANGES), value)
        try:
            check(tool, case, document)
        except Exception as finding:
            finding.add_note(f"{case['file']} as {json.dumps(document)[:10_000]}")
            raise
        tried += 1
    return tried
