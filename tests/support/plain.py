"""Counts by plain loops over the rows of the ledger topic: an oracle that shares no code with the product.

It knows ratings and verdicts, as in SummEval. It refuses a deletion, a failure or a queue item.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tests.support.wire import Stored

Counts = Counter[tuple[str, ...]]
"""Numbers by what they count: `("cell", criterion, metric, rating, verdict)` and the like. They add over partitions."""

Cells = dict[str, dict[str, int]]
"""tp, fn, tn, fp by "criterion | metric"."""

_OUTCOMES = {
    ("up", "pass"): "tp", ("up", "fail"): "fn", ("down", "fail"): "tn", ("down", "pass"): "fp",
    ("3", "pass"): "tp", ("4", "pass"): "tp", ("5", "pass"): "tp",
    ("3", "fail"): "fn", ("4", "fail"): "fn", ("5", "fail"): "fn",
    ("1", "fail"): "tn", ("2", "fail"): "tn", ("1", "pass"): "fp", ("2", "pass"): "fp",
}  # fmt: skip


class _Row(NamedTuple):
    offset: int
    key: tuple[str, ...]
    version: tuple[int, str]
    item: str
    value: str
    """A rating, or pass or fail."""


class Partition:
    """One partition of the ledger, to be counted as it was below any of its offsets."""

    def __init__(self, queue: str, records: Iterable[Stored]) -> None:
        self.claims: list[Mapping[str, Any]] = []
        self._queue = queue
        self._rows: list[_Row] = []
        for record in records:
            assert record.key is not None and record.value is not None, record
            key, value = tuple(orjson.loads(record.key)), orjson.loads(record.value)
            if key == ("claim",):
                self.claims.append(value)
                continue
            assert not value.get("deleted") and key[0] in ("a", "e"), record
            if key[0] == "e":
                content = "pass" if value["passed"] else "fail"
            else:
                content = value.get("thumbs") or str(value["stars"])
            self._rows.append(_Row(record.offset, key, (value["at"], value["id"]), value["item"], content))
        assert self._rows == sorted(self._rows)

    def count(self, below: int) -> Counts:
        """Counts of the rows that stand when the ledger ends before this offset."""
        ratings: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        verdicts: dict[str, dict[str, list[tuple[tuple[int, str], str, str]]]] = defaultdict(lambda: defaultdict(list))
        for row in self._standing(below):
            if row.key[0] == "e":
                _, item, metric, judge = row.key
                verdicts[item][metric].append((row.version, judge, row.value))
            elif row.key[1] == self._queue:
                ratings[row.item][row.key[3]][row.value] += 1
        counts: Counts = Counter()
        for item, criteria in ratings.items():
            judged = {metric: sorted(rows, reverse=True) for metric, rows in verdicts.get(item, {}).items()}
            counts["items_annotated",] += 1
            counts["items_compared",] += bool(judged)
            for criterion, given in criteria.items():
                counts["annotations", criterion] += given.total()
                counts["annotations_contributing", criterion] += given.total() if judged else 0
                counts["items_compared", criterion] += bool(judged)
                for metric, newest_first in judged.items():
                    counts["items_compared", criterion, metric] += 1
                    for rating, times in given.items():
                        counts["cell", criterion, metric, rating, newest_first[0][2]] += times
                        for _, judge, verdict in newest_first:
                            counts["judge", criterion, metric, judge, _OUTCOMES[rating, verdict]] += times
        return +counts

    def _standing(self, below: int) -> Iterable[_Row]:
        standing: dict[tuple[str, ...], _Row] = {}
        for row in self._rows:
            if row.offset >= below:
                break
            rival = standing.get(row.key)
            if rival is None or row.version > rival.version:
                standing[row.key] = row
        return standing.values()


def partitions(queue: str, records: Iterable[Stored]) -> dict[int, Partition]:
    """The partitions of the ledger topic from all of its records."""
    by_number: dict[int, list[Stored]] = defaultdict(list)
    for record in records:
        by_number[record.partition].append(record)
    return {number: Partition(queue, of_one) for number, of_one in by_number.items()}


def counts_of_document(document: Mapping[str, Any]) -> Counts:
    """The same counts in a snapshot document."""
    counts: Counts = Counter({(name,): document["cards"][name] for name in ("items_annotated", "items_compared")})
    for criterion in document["criteria"]:
        name = criterion["criterion"]
        for field in ("annotations", "annotations_contributing", "items_compared"):
            counts[field, name] = criterion[field]
        for metric in criterion["metrics"]:
            counts["items_compared", name, metric["metric"]] = metric["items_compared"]
            for rating, verdicts in metric["ratings"].items():
                for verdict, count in verdicts.items():
                    counts["cell", name, metric["metric"], rating, verdict] = count
            for judge, outcomes in metric["judges"].items():
                for outcome in ("tp", "fn", "tn", "fp"):
                    counts["judge", name, metric["metric"], judge, outcome] = outcomes[outcome]
    assert min(counts.values()) >= 0, document
    return +counts


def counts_of_tallies(queue: str, records: Sequence[Stored]) -> Counts:
    """Cells and annotations of the tallies topic: the last record of each key, summed over partitions."""
    last = {(record.partition, record.key): orjson.loads(record.value or b"") for record in records}
    assert len({value["ledger"] for value in last.values()}) == 1
    counts: Counts = Counter()
    for (_, key), value in last.items():
        kind, *names = orjson.loads(key or b"")
        if kind == "closed" or names[0] != queue:
            continue
        if kind == "annotations":
            counts["annotations", names[1]] += value["annotations"]
            counts["annotations_contributing", names[1]] += value["contributing"]
            continue
        for judge in value["judges"].values():
            rated = [(rating, verdict) for rating in ("down", "up", *"12345") for verdict in ("fail", "pass")]
            for (rating, verdict), count in zip(rated, judge["current"], strict=True):
                counts["cell", names[1], names[2], rating, verdict] += count
    return +counts


def cells(counts: Counts) -> Cells:
    """Outcomes; an annotation passes with a thumb up or 3 stars and more."""
    cells: Cells = {}
    for what, count in counts.items():
        if what[0] == "cell":
            cell = cells.setdefault(f"{what[1]} | {what[2]}", dict.fromkeys(("tp", "fn", "tn", "fp"), 0))
            cell[_OUTCOMES[what[3], what[4]]] += count
    return cells


def cards(counts: Counts) -> dict[str, int]:
    """The counts on a document's cards."""
    outcomes = cells(counts)
    return {
        "items_compared": counts["items_compared",],
        "items_annotated": counts["items_annotated",],
        "annotations": sum(count for what, count in counts.items() if what[0] == "annotations"),
        "annotations_contributing": sum(n for what, n in counts.items() if what[0] == "annotations_contributing"),
        "comparisons": sum(sum(cell.values()) for cell in outcomes.values()),
        "misaligned": sum(cell["fn"] + cell["fp"] for cell in outcomes.values()),
        "criteria": len({what[1] for what in counts if what[0] == "annotations"}),
        "metrics": len({what[2] for what in counts if what[0] == "cell"}),
    }


def cells_of_document(document: Mapping[str, Any]) -> Cells:
    """Outcomes in a document, pairs that were never compared included."""
    return {
        f"{criterion['criterion']} | {metric['metric']}": {
            outcome: metric[outcome] for outcome in ("tp", "fn", "tn", "fp")
        }
        for criterion in document["criteria"]
        for metric in criterion["metrics"]
    }


def cards_of_document(document: Mapping[str, Any]) -> dict[str, int]:
    """The counts on a document's cards, as the document has them."""
    return {name: document["cards"][name] for name in cards(Counter())}
