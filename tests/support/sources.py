"""Sources without settings and index files, for tests of mappers."""

import json
from collections import Counter
from typing import Any

import msgspec

from aggregator.facts import Fact
from sources.meaning import Rules
from sources.records import Skip
from sources.registry import TOOLS
from sources.rules import SourceSettings
from sources.source import RecordOutcome, ToolSource
from streams.events.decoder import Decoder, MetricDefaults

RECEIVED = 1795521600000
"""2026-11-24T12:00:00Z."""


def tool_source(tool: str, defaults: dict[str, MetricDefaults] | None = None, **config: Any) -> ToolSource:
    """A source of a tool; `config` has the keys of `[sources.NAME]`."""
    settings = SourceSettings.model_validate({"tool": tool, **config})
    metrics = defaults or {}
    return ToolSource(TOOLS[tool], Rules(settings, metrics), Decoder(metrics))


def payload(document: Any) -> bytes:
    """The document as a tool sends it: bytes as they are, anything else as JSON."""
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def outcomes(source: ToolSource, document: Any, received: int = RECEIVED) -> list[RecordOutcome]:
    """What a payload becomes."""
    return list(source.outcomes(source.read(payload(document)), received))


def facts_of(source: ToolSource, document: Any, received: int = RECEIVED) -> list[Fact]:
    """The facts of a payload, in their order."""
    results = [outcome.result for outcome in outcomes(source, document, received)]
    return [result for result in results if isinstance(result, msgspec.Struct)]


def skips_of(source: ToolSource, document: Any) -> dict[str, int]:
    """How often a payload has parts that are skipped for a reason."""
    results = [outcome.result for outcome in outcomes(source, document)]
    return dict(Counter(str(result.reason) for result in results if isinstance(result, Skip)))
