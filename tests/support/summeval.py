"""The SummEval events, and the counts that were made outside the project."""

import gzip
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.exposition import series
from tests.support.plain import Cells, cards_of_document, cells_of_document

QUEUE = "summeval"


@dataclass(frozen=True, slots=True)
class Expected:
    """Cells and counts on the cards, as expected.json has them; and how many events there are."""

    cells: Cells
    cards: dict[str, int]
    events: int

    @classmethod
    def read(cls, directory: Path) -> Self:
        """From the directory of the events."""
        expected = json.loads((directory / "expected.json").read_text())
        outcomes = expected["cells"]
        cards = {
            "items_compared": expected["items_compared"],
            "items_annotated": expected["items_compared"],
            "annotations": expected["annotations"],
            "annotations_contributing": expected["contributing"],
            "comparisons": expected["pairs"],
            "misaligned": sum(cell["fn"] + cell["fp"] for cell in outcomes.values()),
            "criteria": len({pair.split(" | ")[0] for pair in outcomes}),
            "metrics": len({pair.split(" | ")[1] for pair in outcomes}),
        }
        return cls(outcomes, cards, expected["annotations"] + expected["evaluations"])

    def shown_by(self, document: Mapping[str, Any] | None) -> bool:
        """Whether a document has exactly these cells and cards."""
        return document is not None and not self.difference(document)

    def difference(self, document: Mapping[str, Any] | None) -> str:
        """The differences of a document, one a line; empty when it has none."""
        if document is None:
            return "no document"
        lines = [
            f"{name}: {shown.get(name)} instead of {wanted.get(name)}"
            for shown, wanted in (
                (cards_of_document(document), self.cards),
                (cells_of_document(document), self.cells),
            )
            for name in sorted(shown.keys() | wanted.keys())
            if shown.get(name) != wanted.get(name)
        ]
        return "\n".join(lines)

    def shown_by_gauges(self, scrape: str, queue: str = QUEUE) -> bool:
        """Whether a scrape has exactly these comparisons of the queue, and its annotations."""
        outcomes: Cells = {}
        annotations = {"contributing": 0, "not_contributing": 0}
        for (name, labels), value in series(scrape).items():
            label = dict(labels)
            if label.get("queue") != queue:
                continue
            if name == "eval_alignment_comparisons":
                pair = f"{label['criterion']} | {label['metric']}"
                outcomes.setdefault(pair, {})[label["outcome"]] = int(value)
            elif name == "eval_alignment_annotations":
                annotations[label["state"]] += int(value)
        contributing = self.cards["annotations_contributing"]
        return outcomes == self.cells and annotations == {
            "contributing": contributing,
            "not_contributing": self.cards["annotations"] - contributing,
        }


def files(directory: Path) -> tuple[Path, Path]:
    """Annotations and evaluations."""
    return directory / "annotations.ndjson.gz", directory / "evaluations.ndjson.gz"


def events(path: Path) -> list[bytes]:
    """The lines of one file."""
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def shuffled(directory: Path, seed: int) -> list[bytes]:
    """The lines of both files in one random order."""
    mixed = [line for path in files(directory) for line in events(path)]
    random.Random(seed).shuffle(mixed)
    return mixed


def renamed(lines: Iterable[bytes], queue: str) -> list[bytes]:
    """The same events of another queue and its own items: an installation counts them from zero again."""
    name = queue.encode()
    return [
        line.replace(b'"queue":"summeval"', b'"queue":"%s"' % name).replace(b'"item":"', b'"item":"%s ' % name)
        for line in lines
    ]
