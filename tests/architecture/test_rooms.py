"""Which room may import which: data flows from the aggregator to the command, and imports follow it."""

import graphlib
from collections.abc import Iterator, Mapping

import pytest

from tests.support.tree import PACKAGES, ROOT, imports, module_name, modules, room_of

_WORKER = {"aggregator", "streams.runtime", "streams.events", "streams.kafka", "streams.ledger"}
_HTTP = {
    "sinks.access",
    "sinks.connections",
    "sinks.exposition",
    "sinks.listener",
    "streams.runtime",
}
_VIEW = {"aggregator", "sinks.budgets", "sinks.config", "sinks.changes", "sinks.metrics", "sinks.freshness", *_HTTP}
_READ = {*_VIEW, "sinks.store", "sinks.queries"}
_API = {
    *_READ,
    "sinks.request_pool",
    "sinks.queue_index",
    "sinks.rejections",
    "sinks.series_cap",
    "sinks.series",
    "sinks.segment_gauges",
    "sinks.documents",
    "sinks.gauges",
    "sinks.snapshots",
}
_COMMAND = {
    *_WORKER,
    *_API,
    "streams.engine",
    "streams.worker",
    "streams.requeue",
    "sinks.api",
    "sinks.page",
    "sinks.app",
    "sinks.view",
    "sources",
    "sources.pulls",
    "sources.intake",
    "ingest",
}

ROOMS: Mapping[str, set[str]] = {
    "aggregator": set(),
    # The worker: events come in by `kafka` and leave by `ledger`.
    "streams": set(),
    "streams.runtime": set(),
    "streams.events": {"aggregator", "streams.runtime"},
    "streams.kafka": {"aggregator", "streams.runtime", "streams.events"},
    "streams.ledger": {"aggregator", "streams.runtime", "streams.events", "streams.kafka"},
    "streams.waiting": _WORKER,
    "streams.engine": {*_WORKER, "streams.waiting"},
    "streams.requeue": _WORKER,
    "streams.worker": {*_WORKER, "streams.waiting", "streams.engine", "streams.requeue"},
    # The view: of the worker it knows the topics and the rules of the owned logs, nothing of the engine.
    "sinks": set(),
    "sinks.config": {"aggregator", "sinks.connections"},
    "sinks.budgets": set(),
    "sinks.changes": set(),
    "sinks.metrics": {"sinks.freshness", "streams.runtime"},
    "sinks.freshness": {"aggregator"},
    # What the HTTP servers of all processes share.
    "sinks.connections": set(),
    "sinks.exposition": set(),
    "sinks.access": {"streams.runtime"},
    "sinks.listener": {"sinks.access", "sinks.connections", "streams.runtime"},
    "sinks.queries": {"aggregator", "sinks.budgets", "streams.runtime"},
    "sinks.store": {*_VIEW, "sinks.queries", "streams.events", "streams.kafka", "streams.ledger"},
    "sinks.rejections": {"streams.events"},
    "sinks.queue_index": {"aggregator", "sinks.budgets", "sinks.queries"},
    "sinks.documents": {*_READ, "sinks.queue_index"},
    "sinks.series_cap": set(),
    "sinks.request_pool": set(),
    "sinks.series": {"streams.runtime"},
    "sinks.segment_gauges": {*_READ, "sinks.series", "sinks.series_cap"},
    "sinks.gauges": {
        *_READ,
        "sinks.queue_index",
        "sinks.documents",
        "sinks.series",
        "sinks.series_cap",
        "sinks.segment_gauges",
    },
    "sinks.snapshots": {*_READ, "sinks.documents", "streams.kafka"},
    "sinks.api": _API,
    "sinks.page": {*_API, "sinks.api", "streams.events"},
    "sinks.request_shares": {"sinks.access", "sinks.connections", "sinks.api", "sinks.request_pool"},
    "sinks.app": {*_API, "sinks.api", "sinks.page", "sinks.request_shares"},
    "sinks.view": {*_API, "sinks.api", "sinks.page", "sinks.app", "streams.kafka"},
    # Records of other tools become events: knows no HTTP and no Kafka.
    "sources": {"aggregator", "streams.events", "streams.runtime"},
    # Payloads become events that the broker has, and that the owner index remembers.
    "sources.intake": {"sources", "aggregator", "streams.events", "streams.runtime"},
    # The records of tools are read over HTTP, and taken in: knows no Kafka.
    "sources.pulls": {"sources", "sources.intake", "aggregator", "streams.events", "streams.runtime"},
    # HTTP in: events of requests become records of the source topics.
    "ingest": {"aggregator", "sources", "sources.intake", "sources.pulls", "streams.events", "streams.kafka", *_HTTP},
    # What other programs import: the events, and no Kafka.
    "eval_alignment.client": {"aggregator", "streams.runtime", "streams.events"},
    # The command wires all.
    "eval_alignment": {*_COMMAND, "eval_alignment.client"},
    "eval_alignment.local": {*_COMMAND, "eval_alignment"},
    "eval_alignment.doctor": {*_COMMAND, "eval_alignment"},
    # Rows to events: knows the events, nothing of Kafka or a view.
    "eval_alignment.tables": {"aggregator", "streams.runtime", "streams.events", "sources", "eval_alignment"},
    "eval_alignment.commands": {
        *_COMMAND,
        "eval_alignment",
        "eval_alignment.local",
        "eval_alignment.doctor",
        "eval_alignment.tables",
    },
}
# No part of the product: they may import it, it may not import them.
OUTSIDE = ("tests", "bench", "monitoring", "deploy", "tools")


def breaches(room: str, source: str) -> list[str]:
    """Imports of `source` that a module of `room` may not have; relative ones count as such."""
    ours = {room, *ROOMS[room]}
    tops = {*PACKAGES, *OUTSIDE, ""}
    return [name for name in imports(source) if name.partition(".")[0] in tops and room_of(name) not in ours]


def rooms() -> Iterator[tuple[str, str, str]]:
    """Room, path and source of every module of the product."""
    for package in PACKAGES:
        for path in modules(package):
            yield room_of(module_name(path)), str(path.relative_to(ROOT)), path.read_text()


def test_the_table_has_every_room() -> None:
    assert {room for room, _, _ in rooms()} == ROOMS.keys()


def test_a_room_imports_only_rooms_of_its_table_entry() -> None:
    broken = {path: breaches(room, source) for room, path, source in rooms()}
    assert {path: names for path, names in broken.items() if names} == {}


def test_rooms_have_an_order() -> None:
    order = list(graphlib.TopologicalSorter(ROOMS).static_order())
    assert order.index("aggregator") < order.index("streams.engine") < order.index("eval_alignment.commands")


@pytest.mark.parametrize(
    ("room", "source", "names"),
    [
        ("aggregator", "def f():\n    from streams import events", ["streams.events"]),
        ("aggregator", "from aggregator.statistics import gate", []),
        ("streams.runtime", "from streams.kafka.client import KAFKA", ["streams.kafka.client.KAFKA"]),
        ("streams.kafka", "import eval_alignment.settings", ["eval_alignment.settings"]),
        (
            "sinks.store",
            "from streams.ledger.claim import Claim\nimport streams.engine.apply",
            ["streams.engine.apply"],
        ),
        ("sinks.api", "from sinks.app import create_app\nimport starlette.routing", ["sinks.app.create_app"]),
        ("sinks.queries", "from . import rows", ["..rows"]),
        ("eval_alignment", "from tests.support import ports", ["tests.support.ports"]),
    ],
)
def test_a_breach_is_seen(room: str, source: str, names: list[str]) -> None:
    assert breaches(room, source) == names


def test_a_cycle_is_seen() -> None:
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())
