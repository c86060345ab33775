"""Events that the pages show: one example of each case for docs/events.md, and a small history whose document and
answers docs/snapshot.md and docs/api.md show.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from aggregator.facts import Fact
from streams.events.decoder import Decoder, Kind, Rejection

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """An event as a producer sends it."""

    title: str
    kind: Kind
    event: Event
    effect: str
    """What the event does, in one or two sentences."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the record."""


_ANNOTATION: Final = {
    "queue": "Support replies",
    "item": "trace-7f3a",
    "criterion": "helpfulness",
    "annotator": "ann",
}
_EVALUATION: Final = {"item": "trace-7f3a", "metric": "answer_relevancy", "judge": "gpt-4o/p3"}

EXAMPLES: Final = (
    Example(
        "First annotation",
        Kind.ANNOTATION,
        {
            "id": "a-101",
            "at": "2026-11-23T10:15:02.412Z",
            **_ANNOTATION,
            "thumbs": "down",
            "explanation": "The refund period is wrong.",
            "expected": "Refunds are possible within 30 days.",
            "url": "https://traces.example.org/trace-7f3a",
            "input": "How long can I return it?",
            "output": "Within 14 days.",
            "tags": {"plan": "free", "language": "en"},
        },
        "Creates a row. It is compared with every metric that has a verdict on `trace-7f3a`, now or later.",
    ),
    Example(
        "Rating in stars",
        Kind.ANNOTATION,
        {"id": "a-102", "at": 1795428960000, **_ANNOTATION, "criterion": "tone", "annotator": "ben", "stars": 4},
        "Four stars are a pass; the setting `pass_stars` (3) is the limit. `at` is in milliseconds.",
    ),
    Example(
        "Correction",
        Kind.ANNOTATION,
        {"id": "a-103", "at": "2026-11-23T10:20:40Z", **_ANNOTATION, "thumbs": "up"},
        "Replaces the first example: same queue, item, criterion and annotator, and a later `at`. Fields of the old "
        "row are not kept, so the explanation is gone.",
    ),
    Example(
        "Deletion",
        Kind.ANNOTATION,
        {"id": "a-104", "at": "2026-11-23T10:25:00Z", **_ANNOTATION, "deleted": True},
        "Deletes the row and its comparisons. The deletion keeps its version: an older event that arrives later does "
        "not bring the row back, a newer one does.",
    ),
    Example(
        "Evaluation with score and threshold",
        Kind.EVALUATION,
        {
            "id": "e-201",
            "at": "2026-11-23T10:15:09Z",
            **_EVALUATION,
            "score": 0.81,
            "threshold": 0.7,
            "reason": "The answer addresses the question.",
        },
        "Passes: the score reaches the threshold. It has no queue; it counts in every queue in which the item is "
        "annotated.",
    ),
    Example(
        "Evaluation with a verdict",
        Kind.EVALUATION,
        {"id": "e-202", "at": "2026-11-23T10:15:10Z", "item": "trace-7f3a", "metric": "is_polite", "passed": False},
        "Fails. `passed` needs no score and no threshold, and wins over both.",
    ),
    Example(
        "Lower is better",
        Kind.EVALUATION,
        {
            "id": "e-203",
            "at": "2026-11-23T10:15:10Z",
            "item": "trace-7f3a",
            "metric": "toxicity",
            "score": 0.02,
            "threshold": 0.1,
            "direction": "lower",
        },
        "Passes: the score is at or below the threshold.",
    ),
    Example(
        "Evaluation that failed",
        Kind.EVALUATION,
        {
            "id": "e-204",
            "at": "2026-11-23T10:16:00Z",
            **_EVALUATION,
            "metric": "faithfulness",
            "status": "error",
            "reason": "The judge timed out.",
        },
        "Counts as an error of the metric, never as a fail. Any verdict of the same metric on the item takes "
        "precedence, earlier or later.",
    ),
    Example(
        "New version of the judge",
        Kind.EVALUATION,
        {
            "id": "e-205",
            "at": "2026-11-24T08:00:00Z",
            **_EVALUATION,
            "judge": "gpt-4o/p4",
            "score": 0.44,
            "threshold": 0.7,
        },
        "A row of its own: version `gpt-4o/p3` keeps its counts. The metric's alignment now uses this verdict.",
    ),
    Example(
        "Item added to a queue",
        Kind.QUEUE_ITEM,
        {
            "kind": "queue_item",
            "id": "q-301",
            "at": "2026-11-23T09:00:00Z",
            "queue": "Support replies",
            "item": "trace-7f3a",
        },
        "Announces the item: the queue now knows how many items wait for an evaluation or an annotation. `kind` is "
        "needed in files only.",
    ),
    Example(
        "CloudEvents, structured mode",
        Kind.ANNOTATION,
        {
            "specversion": "1.0",
            "type": "org.example.annotation",
            "source": "/annotation-tool",
            "id": "a-105",
            "time": "2026-11-24T09:30:00Z",
            "datacontenttype": "application/json",
            "data": {**_ANNOTATION, "annotator": "chloe", "thumbs": "down"},
        },
        "The event is in `data`. `id` and `time` of the envelope are used where the event has no `id` or `at`.",
        headers={"content-type": "application/cloudevents+json"},
    ),
)

QUEUE: Final = "Support replies"
CRITERION: Final = "helpfulness"
METRIC: Final = "answer_relevancy"

_OLD_JUDGE: Final = "gpt-4o/p3"
_NEW_JUDGE: Final = "gpt-4o/p4"
_THRESHOLD: Final = 0.7
_ITEMS: Final[tuple[tuple[str, int, dict[str, str], dict[str, float]], ...]] = (
    ("trace-1", 23, {"ann": "up", "ben": "up"}, {_OLD_JUDGE: 0.91}),
    ("trace-2", 23, {"ann": "down"}, {_OLD_JUDGE: 0.35}),
    ("trace-3", 23, {"ann": "up"}, {_OLD_JUDGE: 0.64, _NEW_JUDGE: 0.74}),
    ("trace-4", 24, {"ann": "down"}, {_OLD_JUDGE: 0.78, _NEW_JUDGE: 0.55}),
    ("trace-5", 24, {"ann": "up", "ben": "down"}, {_OLD_JUDGE: 0.85}),
    ("trace-6", 24, {}, {_OLD_JUDGE: 0.42}),
    ("trace-7", 24, {}, {}),
)
"""Name, day of November 2026, thumbs by annotator, and scores by judge version of every item."""


def _history() -> Iterator[tuple[Kind, Event]]:
    for item, day, thumbs, scores in _ITEMS:
        number = item.removeprefix("trace-")
        date = f"2026-11-{day}"
        yield (
            Kind.QUEUE_ITEM,
            {
                "kind": "queue_item",
                "id": f"q{number}",
                "at": f"{date}T08:00:00Z",
                "queue": QUEUE,
                "item": item,
            },
        )
        for judge, score in scores.items():
            hour = 9 if judge == _OLD_JUDGE else 12
            yield (
                Kind.EVALUATION,
                {
                    "id": f"e{number}-{judge[-2:]}",
                    "at": f"{date}T{hour:02}:00:00Z",
                    "item": item,
                    "metric": METRIC,
                    "judge": judge,
                    "score": score,
                    "threshold": _THRESHOLD,
                },
            )
        for annotator, rating in thumbs.items():
            yield (
                Kind.ANNOTATION,
                {
                    "id": f"a{number}-{annotator}",
                    "at": f"{date}T10:00:00Z",
                    "queue": QUEUE,
                    "item": item,
                    "criterion": CRITERION,
                    "annotator": annotator,
                    "thumbs": rating,
                },
            )


HISTORY: Final = tuple(_history())
"""Events of one queue: seven items, two annotators, one metric that gets a new judge version."""


def facts(events: Sequence[tuple[Kind, Event]]) -> list[Fact]:
    """The events as the worker's decoder reads them."""
    decoder = Decoder()
    decoded = []
    for kind, event in events:
        outcome = decoder.decode(kind, orjson.dumps(event), event["item"].encode())
        assert not isinstance(outcome, Rejection), f"{event['id']}: {outcome}"
        decoded.append(outcome)
    return decoded
