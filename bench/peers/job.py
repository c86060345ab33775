"""What the Python peers share: their arguments, the join on plain dicts, and how they tell their counts at the end."""

import argparse
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

DAY_MS: Final = 86_400_000
PASS_STARS: Final = 3

Group = tuple[str, str, str, int]
"""Queue, criterion, metric, and the annotation's day since epoch."""

Change = tuple[Group, int, int]
"""A group, which of its four counts, and by how much."""

Version = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Told:
    """The arguments: where the events are, the group whose committed offsets show the progress, where counts go."""

    bootstrap: str
    annotations: str
    evaluations: str
    group: str
    cells: Path


def arguments() -> Told:
    """The arguments of a peer."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "annotations", "evaluations", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--cells", type=Path, required=True, help="file for the counts, written at SIGTERM")
    return Told(**vars(parser.parse_args()))


@dataclass(slots=True)
class Said:
    """The newest annotation of one identity: version, queue, criterion, day, and whether it is a pass."""

    version: Version
    queue: str
    criterion: str
    day: int
    passed: bool


@dataclass(slots=True)
class Item:
    """Annotations by (queue, criterion, annotator), and the newest verdict by metric."""

    said: dict[tuple[str, str, str], Said]
    judged: dict[str, tuple[Version, bool]]

    def annotate(self, event: dict[str, Any]) -> Iterator[Change]:
        """Merge an annotation, and give what it changes."""
        version = event["at"], event["id"]
        identity = event["queue"], event["criterion"], event["annotator"]
        old = self.said.get(identity)
        if old is not None:
            if version <= old.version:
                return
            for metric, (_, passed) in self.judged.items():
                yield (old.queue, old.criterion, metric, old.day), 2 * old.passed + passed, -1
        queue, criterion, _ = identity
        new = Said(version, queue, criterion, version[0] // DAY_MS, event["stars"] >= PASS_STARS)
        self.said[identity] = new
        for metric, (_, passed) in self.judged.items():
            yield (queue, criterion, metric, new.day), 2 * new.passed + passed, 1

    def evaluate(self, event: dict[str, Any]) -> Iterator[Change]:
        """Merge an evaluation, and give what it changes."""
        version = event["at"], event["id"]
        metric = event["metric"]
        old = self.judged.get(metric)
        if old is not None:
            if version <= old[0]:
                return
            for said in self.said.values():
                yield (said.queue, said.criterion, metric, said.day), 2 * said.passed + old[1], -1
        passed = event["score"] >= event["threshold"]
        self.judged[metric] = version, passed
        for said in self.said.values():
            yield (said.queue, said.criterion, metric, said.day), 2 * said.passed + passed, 1

    def take(self, event: dict[str, Any]) -> Iterator[Change]:
        """Merge either."""
        return self.evaluate(event) if "metric" in event else self.annotate(event)


class Counts:
    """Absolute counts by group: people fail and metric fails, fail and passes, pass and fails, pass and passes."""

    def __init__(self) -> None:
        self.cells: dict[Group, list[int]] = {}

    def add(self, group: Group, which: int, sign: int) -> None:
        """Change one count."""
        cell = self.cells.get(group)
        if cell is None:
            cell = self.cells[group] = [0, 0, 0, 0]
        cell[which] += sign

    def write(self, path: Path) -> None:
        """Tell them: a JSON array of [group, counts]."""
        path.write_bytes(orjson.dumps([[group, cell] for group, cell in self.cells.items()]))


class Join:
    """The whole job on dicts."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.counts = Counts()

    def take(self, event: dict[str, Any]) -> None:
        """Merge one event and count."""
        item = self.items.get(event["item"])
        if item is None:
            item = self.items[event["item"]] = Item({}, {})
        add = self.counts.add
        for group, which, sign in item.take(event):
            add(group, which, sign)


class Ending:
    """Whether SIGTERM came."""

    def __init__(self) -> None:
        self.come = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: object) -> None:
        self.come = True
