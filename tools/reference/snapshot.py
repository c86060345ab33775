"""docs/snapshot.md: every field of the snapshot document, why it may be null, and a whole document."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any, Final, get_type_hints

from aggregator.days import Window
from aggregator.policy import Policy
from aggregator.ratings import COUNTS, LEVELS, cell_index
from aggregator.recount import Recount
from aggregator.snapshot.build import document as build
from aggregator.snapshot.inputs import (
    CountingRules,
    CriterionState,
    DocumentStamp,
    Funnel,
    JudgeVectors,
    MetricCoverage,
    PairCounts,
    QueueState,
)
from aggregator.snapshot.schema import (
    SCHEMA_NAME,
    Cards,
    CriterionDocument,
    JudgeDocument,
    MetricDocument,
    SnapshotDocument,
)
from aggregator.statistics.gate import GateLimits
from aggregator.statistics.judge_in_use import JudgePeriod
from sinks.api.field_docs import field_docs
from streams.kafka.topics import Topics
from tools.reference.examples import HISTORY, QUEUE, facts
from tools.reference.fields import type_text
from tools.reference.markdown import code, document, json_block, ndjson_block, section, table

_OBJECTS: Final[Mapping[type, tuple[str, str]]] = {
    SnapshotDocument: ("The document", ""),
    Cards: ("`cards`", "The whole queue, over the pairs of criterion and metric that are on topic."),
    CriterionDocument: (
        "`criteria[]`",
        "One criterion of the queue, in alphabetical order. Its counts are sums over its metrics that are on topic.",
    ),
    MetricDocument: (
        "`criteria[].metrics[]`",
        "One criterion compared with one metric, the highest alignment first. Intervals are Wilson 95 % over items.",
    ),
    JudgeDocument: ("`criteria[].metrics[].judges{}`", "The counts of one judge version, by its name."),
}
"""Heading and introduction of every object with fields of its own."""


def page() -> str:
    """The page."""
    return document(
        "Snapshot document",
        "A snapshot document has the counts and statistics of one queue, by criterion and metric. The view publishes "
        f"it to the topic `{Topics().snapshots}` (key: the queue; window `all`) when its numbers change, at most once "
        "a second, and serves it at [`GET /api/v1/queues/{queue}`](api.md) for any window. `eval-alignment recount "
        "--json FILE...` prints the documents of a file of events.",
        f"The schema is `{SCHEMA_NAME}`. Fields may be added; a field that is removed or changes its type makes a new "
        "schema. `eval-alignment schema snapshot` prints it as JSON Schema. Shares are between 0 and 1. Null means "
        "undefined: the object's `undefined` has the field and the [reason](statistics.md#undefined-numbers). "
        "[Statistics](statistics.md) has the formula of every number and the meaning of the gate's states and reasons.",
        *(_object(of, *texts) for of, texts in _OBJECTS.items()),
        section(
            "`ratings`",
            "`ratings` in a metric has the comparisons by what people gave (`up`, `down`, `1` to `5` stars) and the "
            "metric's verdict (`pass`, `fail`). `human` and `metric` in a criterion have comparisons by human verdict "
            "and by metric verdict.",
        ),
        section(
            "Example",
            "`eval-alignment recount --json` of these events",
            ndjson_block(event for _, event in HISTORY),
            "prints an array with this document. A view fills `revision`, `ledger` and `positions`.",
            json_block(Recount(facts(HISTORY)).document(QUEUE)),
        ),
        see_also=(
            "[Statistics](statistics.md): formulas and sources",
            "[HTTP API](api.md)",
            "[Topics](topics.md)",
            "[Settings](settings.md): `policy`, `pass_stars`, `pass_stars_by_criterion`, `criterion_metrics`, `gate_*`",
        ),
    )


def _object(of: type, heading: str, introduction: str) -> str:
    documented, nulls = field_docs(of), _nulls().get(of, {})
    rows = [
        (f"`{name}`", type_text(annotation), code(sorted(nulls.get(name, ()))), documented.get(name, ""))
        for name, annotation in get_type_hints(of).items()
    ]
    parts = [introduction] if introduction else []
    return section(heading, *parts, table(("field", "type", "null when", "meaning"), rows))


@cache
def _nulls() -> Mapping[type, Mapping[str, set[str]]]:
    """Why each field can be null: the reasons that all small tables of counts lead to, by object and field."""
    reasons: dict[type, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for state, rules in _small_states():
        document = build(state, Window.ALL, DocumentStamp("", 0, "", {}, Policy.EACH), rules)
        for criterion in document["criteria"]:
            parts: list[tuple[type, Mapping[str, Any]]] = [(Cards, document["cards"]), (CriterionDocument, criterion)]
            parts += [(MetricDocument, metric) for metric in criterion["metrics"]]
            for of, part in parts:
                for name, reason in part["undefined"].items():
                    reasons[of][name].add(reason.value)
    return reasons


def _small_states() -> Iterator[tuple[QueueState, CountingRules]]:
    up, down = LEVELS.index("up"), LEVELS.index("down")
    heard = (None, MetricCoverage(0, 0, 1, 0, waiting=0), MetricCoverage(1, 1, 0, 0, waiting=0))
    for outcomes in product(range(3), repeat=4):
        vector = [0] * COUNTS
        for count, (level, passed) in zip(outcomes, product((up, down), (True, False)), strict=True):
            vector[cell_index(level, passed)] = count
        items = sum(outcomes)
        pair = PairCounts(items, {"": JudgeVectors(vector, (0,) * COUNTS, items)})
        for said, on_topic in product(heard, (True, False)):
            funnel = None if said is None else Funnel(1, 0, 0, 0, {"m": said})
            compared = items if on_topic else 0
            criterion = CriterionState(items, compared, compared, {"m": pair})
            # With one item the gate decides, so that these small counts reach every reason.
            rules = CountingRules(criterion_metrics={"c": ["m" if on_topic else "other"]}, limits=GateLimits(items=1))
            judges = {"m": JudgePeriod("", 0, 0)} if items else {}
            yield QueueState("q", compared, items, {"c": criterion}, funnel, judges), rules
