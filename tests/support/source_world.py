"""An invented tool, the topics and the workers, for histories of a source that crashes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from aggregator import facts
from aggregator.facts import Annotation, Fact
from sources import names
from sources.meaning import Rules
from sources.records import Said, SourceRecord
from sources.registry import Tool
from streams.events.wire import AnnotationEvent

Ratings = dict[str, int]
Document = dict[str, Any]


def read_record(document: bytes, _rules: Rules) -> Iterator[SourceRecord]:
    """The mapper of the invented tool."""
    for record in json.loads(document):
        if record.get("deleted"):
            yield SourceRecord(record["id"], deleted=True)
            continue
        said = (
            Said(AnnotationEvent(queue="q", item=record["item"], criterion=name, annotator="ada", stars=stars), name)
            for name, stars in record["ratings"].items()
        )
        yield SourceRecord(record["id"], tuple(said), record["at"])


TOOL: Final = Tool("a tool", ("push", "pull"), read_record, record="", native=names.before_slash)


@dataclass
class ToolStore:
    """What the tool has; every change sends a webhook, unless it is silent."""

    records: dict[str, Document] = field(default_factory=dict)
    webhooks: list[Document] = field(default_factory=list)
    """Not answered yet, the oldest first."""
    created: int = 0

    def ratings(self) -> dict[tuple[str, str], int]:
        """What stands, by item and criterion."""
        return {
            (record["item"], name): stars
            for record in self.records.values()
            for name, stars in record["ratings"].items()
        }

    def listed(self) -> list[Document]:
        return [json.loads(json.dumps(record)) for record in self.records.values()]


@dataclass
class Topics:
    """One log of events, and the ledger of the workers."""

    events: list[Fact] = field(default_factory=list)
    start: int = 0
    """Oldest event that is left."""
    committed: int = 0
    ledger: dict[bytes, Fact] = field(default_factory=dict)

    def work(self, until: int) -> None:
        """The workers process events up to an offset."""
        for fact in self.events[self.committed : until]:
            key = facts.key(fact)
            if key not in self.ledger or facts.version(fact) > facts.version(self.ledger[key]):
                self.ledger[key] = fact
        self.committed = max(self.committed, until)

    def ratings(self) -> dict[tuple[str, str], int | None]:
        """What stands of all events."""
        self.work(len(self.events))
        rows = (fact for fact in self.ledger.values() if isinstance(fact, Annotation) and not fact.deleted)
        return {(fact.item, fact.criterion): fact.stars for fact in rows}
