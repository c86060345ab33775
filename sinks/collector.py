"""The product's Prometheus gauges: one immutable view of all documents, as text that is ready to be served.

A refresh makes the text anew from one state of the store; a scrape only hands it out. So a scrape is one
consistent cut, series of what vanished are gone, and undefined numbers are absent. Lines are rendered here
because a sample object per line costs thirty times as much; both text formats of Prometheus write gauges the
same way.

Series stand in the order in which queues were first seen, so when the cap is reached the oldest queues keep
theirs.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from aggregator.document import CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.state import Window
from sinks.documents import Documents, QueueEntry, read_state
from sinks.store import Store

PREFIX: Final = "eval_alignment_"

FAMILIES: Final = {
    "comparisons": "Comparisons by outcome: tp both pass, fn only people, tn both fail, fp only the metric.",
    "ratio": "Alignment: share of comparisons in which people and metric agree.",
    "low_ratio": "Lower bound of the Wilson 95 % interval of alignment, over distinct items.",
    "high_ratio": "Upper bound of the Wilson 95 % interval of alignment, over distinct items.",
    "baseline_ratio": "Alignment of a judge that always gives the more frequent human result.",
    "true_positive_ratio": "Share of the comparisons that people passed which the metric passed too.",
    "true_negative_ratio": "Share of the comparisons that people failed which the metric failed too.",
    "kappa": "Cohen's kappa, from -1 to 1.",
    "mcc": "Matthews correlation coefficient, from -1 to 1.",
    "gate": "Always 1; the verdict of the gate on the metric.",
    "annotations": "Standing annotations, by whether they take part in a comparison.",
}
"""Names without prefix, and their help. All are gauges."""

_RATIOS: Final = tuple(name for name in FAMILIES if name.endswith("ratio"))
_OUTCOMES: Final = ("tp", "fn", "tn", "fp")
WINDOWS: Final = (Window.DAYS_7, Window.DAYS_30)
"""Windows of which the ratios are exposed too, with a label `window`; without the label they are of all
days.
"""

SERIES_PER_PAIR: Final = len(_OUTCOMES) + (1 + len(WINDOWS)) * len(_RATIOS) + 3
"""Series of a criterion and metric of which everything is defined."""

_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Line = tuple[str, str]
"""A family and one of its lines."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """All gauges as text, how many series they are, how many the cap kept out, and the state's `as_of`."""

    text: bytes = b""
    series: int = 0
    suppressed: int = 0
    as_of: int | None = None


def label(value: str) -> str:
    r"""A label value, escaped and quoted.

    >>> print(label('say "hi"\n'))
    "say \"hi\"\n"
    """
    return f'"{value.translate(_ESCAPED)}"'


class Collector:
    """Makes `Gauges` from the documents of a store. Its methods block: call them in a thread, one at a time.

    Args:
        store: where the documents come from.
        documents: makes them.
        limit: the cap on series.
    """

    def __init__(self, store: Store, documents: Documents, limit: int) -> None:
        self._store = store
        self._documents = documents
        self._limit = limit
        self._blocks: dict[str, tuple[int, date, list[list[Line]]]] = {}

    def collect(self, today: date) -> Gauges:
        """The gauges of the store's current state on a UTC day."""
        families: dict[str, list[str]] = defaultdict(list)
        blocks: dict[str, tuple[int, date, list[list[Line]]]] = {}
        series = suppressed = 0
        with self._store.read() as connection:
            state = read_state(connection)
            last = 0
            for entry in self._documents.queues(connection):
                block = self._blocks.get(entry.queue)
                if block is None or block[:2] != (entry.revision, today):
                    made = {
                        window: self._documents.make(connection, entry, state, window)
                        for window in (Window.ALL, *WINDOWS)
                    }
                    block = (entry.revision, today, list(_groups(entry, made)))
                blocks[entry.queue] = block
                for group in block[2]:
                    # Once one is kept out all later ones are: what is shown does not depend on who is small.
                    if suppressed or series + len(group) > self._limit:
                        suppressed += len(group)
                        continue
                    series += len(group)
                    for family, line in group:
                        families[family].append(line)
                last = entry.place
                if suppressed:
                    break
            if suppressed:
                # The documents of the queues behind are not made only to be thrown away.
                (pairs,) = connection.execute(
                    "SELECT count(*) FROM (SELECT DISTINCT t.queue, t.criterion, t.metric FROM queues AS q "
                    "CROSS JOIN tallies AS t ON t.queue = q.queue AND t.kind = 'cells' WHERE q.id > ?)",
                    (last,),
                ).fetchone()
                suppressed += pairs * SERIES_PER_PAIR
        self._blocks = blocks
        unique = {line.rsplit(" ", 1)[0] for lines in families.values() for line in lines}
        if len(unique) != series:
            raise AssertionError("a series was made twice")
        return Gauges("".join(_text(families)).encode(), series, suppressed, state.as_of)


def _text(families: dict[str, list[str]]) -> Iterator[str]:
    for name, documentation in FAMILIES.items():
        if lines := families.get(name):
            yield f"# HELP {PREFIX}{name} {documentation}\n# TYPE {PREFIX}{name} gauge\n"
            yield from lines


def _groups(entry: QueueEntry, made: dict[Window, SnapshotDocument | None]) -> Iterator[list[Line]]:
    """Lines of a queue, in groups that are shown or kept out together."""
    whole = made[Window.ALL]
    if whole is None:
        return
    windows = {
        window: {
            (criterion["criterion"], metric["metric"]): metric
            for criterion in of_window["criteria"]
            for metric in criterion["metrics"]
        }
        for window in WINDOWS
        if (of_window := made[window]) is not None
    }
    queue = label(entry.queue)
    for criterion in whole["criteria"]:
        name = criterion["criterion"]
        labels = f"queue={queue},criterion={label(name)}"
        yield list(_annotations(labels, criterion))
        # By name: the order of a document changes with every comparison.
        for metric in sorted(criterion["metrics"], key=lambda metric: metric["metric"]):
            if metric["comparisons"] and not metric["off_topic"]:
                pair = f"{labels},metric={label(metric['metric'])}"
                group = list(_pair(pair, metric))
                for window, metrics in windows.items():
                    if (recent := metrics.get((name, metric["metric"]))) is not None:
                        group += _ratios(f'{pair},window="{window.value}"', recent)
                yield group


def _annotations(labels: str, criterion: CriterionDocument) -> Iterator[Line]:
    contributing = criterion["annotations_contributing"]
    for state, count in (
        ("contributing", contributing),
        ("not_contributing", criterion["annotations"] - contributing),
    ):
        yield _line("annotations", f'{labels},state="{state}"', count)


def _pair(labels: str, metric: MetricDocument) -> Iterator[Line]:
    for outcome in _OUTCOMES:
        yield _line("comparisons", f'{labels},outcome="{outcome}"', metric[outcome])
    yield from _ratios(labels, metric)
    for name, value in (("kappa", metric["kappa"]), ("mcc", metric["mcc"])):
        if value is not None:
            yield _line(name, labels, value)
    if metric["gate"] is not None:
        yield _line("gate", f'{labels},verdict="{metric["gate"].value}"', 1)


def _ratios(labels: str, metric: MetricDocument) -> Iterator[Line]:
    values = (
        metric["alignment"],
        metric["alignment_low"],
        metric["alignment_high"],
        metric["baseline"],
        metric["tpr"],
        metric["tnr"],
    )
    for name, value in zip(_RATIOS, values, strict=True):
        if value is not None:
            yield _line(name, labels, value)


def _line(family: str, labels: str, value: float) -> Line:
    return family, f"{PREFIX}{family}{{{labels}}} {float(value)!r}\n"
