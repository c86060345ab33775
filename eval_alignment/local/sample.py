"""Sample events for the demo: three annotation queues with strict, lenient, good and deteriorating judges.

Every item has a hidden quality. People rate it with a little noise; each metric scores it with its own bias and noise.
`history` fills the last weeks. `live` never ends: new items, late annotations, edits, deletions, failures, items taken
out of a queue, and after a while a new judge version that scores old items again.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from aggregator.days import DAY_MS

HISTORY_DAYS: Final = 30
ITEMS_A_DAY: Final = 12
NEW_JUDGE_AFTER: Final = 300
"""Number of live events after which the new judge version appears."""

SampleEvent = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, and how its scores differ from the quality of an item."""

    name: str
    judge: str
    lean: float = 0.0
    """Added to the scores; a positive value makes the metric lenient."""
    noise: float = 0.10
    """Standard deviation of the scores."""
    worsening: float = 0.0
    """Increase of `noise` per day during the last ten days."""
    lower: bool = False
    """Whether lower scores are better."""


@dataclass(frozen=True, slots=True)
class Queue:
    """An annotation queue."""

    name: str
    level: str
    """Level of its items."""
    criteria: dict[str, bool]
    """By criterion whether it is rated with stars; else with thumbs."""
    metrics: tuple[Metric, ...]
    listed: bool = False
    """Whether its items have queue-item events."""
    weight: float = 1.0
    """Relative number of its items."""


QUEUES: Final = (
    Queue(
        "Support replies",
        "trace",
        {"helpfulness": False, "tone": True},
        (
            Metric("answer_relevancy", "gpt-4o/p3", noise=0.06),
            Metric("helpfulness_judge", "gpt-4o/p3", lean=-0.16),
            Metric("politeness", "small-judge/2", lean=0.22, noise=0.2),
        ),
        listed=True,
        weight=2.0,
    ),
    Queue(
        "Code review bot",
        "span",
        {"overall": True},
        (
            Metric("correctness_judge", "gpt-4o-mini/p1", noise=0.08, worsening=0.045),
            Metric("conciseness", "rules/1", lean=0.6, noise=0.1),
        ),
    ),
    Queue(
        "Chat sessions / EN",
        "thread",
        {"resolution": False},
        (
            Metric("resolution_judge", "gpt-4o/p1", noise=0.15),
            Metric("frustration", "classifier/7", lower=True),
        ),
    ),
)
ANNOTATORS: Final = ("amira", "ben", "chloe", "dmitri")
_GOOD: Final = (
    "Answers the question and names the next step.",
    "Correct and short, nothing to add.",
    "Right tone, and it solves the problem.",
    "Covers the edge case the customer asked about.",
)
_BAD: Final = (
    "Sounds sure but the refund period is wrong.",
    "Repeats the question, no answer in it.",
    "The suggested fix does not compile.",
    "Too cold for somebody who lost their data.",
    "Closes the conversation before the problem is solved.",
)


@dataclass(slots=True)
class _Item:
    name: str
    queue: Queue
    quality: float
    at: int
    rated: list[SampleEvent] = field(default_factory=list)


class Sample:
    """A reproducible stream of events; times are integer milliseconds since the epoch.

    Args:
        seed: the same seed and times produce the same stream.
    """

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self._serial = 0
        self._items: list[_Item] = []

    def history(self, now: int) -> Iterator[SampleEvent]:
        """Events of the items of the last weeks, most of them evaluated and annotated."""
        for day in range(HISTORY_DAYS, 0, -1):
            for _ in range(ITEMS_A_DAY):
                at = min(now - day * DAY_MS + self._random.randrange(DAY_MS), now - 60_000)
                item = self._new_item(at)
                yield from self._listing(item)
                yield from self._evaluations(item, day)
                if self._random.random() < 0.8:
                    yield from self._annotations(item, at + self._random.randrange(1000, 50_000))

    def live(self, clock: Callable[[], int]) -> Iterator[SampleEvent]:
        """An endless stream of events; `clock` returns the current time."""
        waiting: list[_Item] = []
        count = 0
        while True:
            choice = self._random.random()
            if choice < 0.45 or not self._items:
                item = self._new_item(clock())
                waiting.append(item)
                events = [*self._listing(item), *self._evaluations(item, 0)]
            elif choice < 0.85 and waiting:
                item = waiting.pop(self._random.randrange(len(waiting)))
                events = list(self._annotations(item, clock()))
            else:
                events = list(self._change(self._random.choice(self._items), clock()))
            if count > NEW_JUDGE_AFTER:
                events += self._rescore(self._random.choice(self._items), clock())
            for event in events:
                count += 1
                yield event

    def _id(self, kind: str) -> str:
        self._serial += 1
        return f"{kind}{self._serial:06d}"

    def _new_item(self, at: int) -> _Item:
        (queue,) = self._random.choices(QUEUES, [queue.weight for queue in QUEUES])
        item = _Item(self._id(f"{queue.level}-"), queue, self._random.betavariate(2.4, 1.6), at)
        self._items.append(item)
        return item

    def _listing(self, item: _Item) -> Iterator[SampleEvent]:
        if item.queue.listed:
            yield {
                "kind": "queue_item",
                "id": self._id("q"),
                "at": item.at,
                "queue": item.queue.name,
                "item": item.name,
                "level": item.queue.level,
            }

    def _evaluations(self, item: _Item, days_ago: int) -> Iterator[SampleEvent]:
        for metric in item.queue.metrics:
            fate = self._random.random()
            if fate < 0.04:
                continue
            event = self._evaluation(item, metric, metric.judge, item.at + 500)
            if fate < 0.06:
                status = self._random.choice(("error", "skipped"))
                yield {**event, "status": status, "reason": "the judge timed out"}
                continue
            noise = metric.noise + metric.worsening * max(0, 10 - days_ago)
            yield self._scored(event, item, metric, noise)

    def _evaluation(self, item: _Item, metric: Metric, judge: str, at: int) -> SampleEvent:
        return {
            "kind": "evaluation",
            "id": self._id("e"),
            "at": at,
            "item": item.name,
            "level": item.queue.level,
            "metric": metric.name,
            "judge": judge,
        }

    def _scored(self, event: SampleEvent, item: _Item, metric: Metric, noise: float) -> SampleEvent:
        score = min(1.0, max(0.0, item.quality + metric.lean + self._random.gauss(0, noise)))
        score = round(1 - score if metric.lower else score, 3)
        return {
            **event,
            "score": score,
            "threshold": 0.5,
            "direction": "lower" if metric.lower else "higher",
            "reason": f"Scored {score:.2f} on the rubric of {metric.name}.",
        }

    def _annotations(self, item: _Item, at: int) -> Iterator[SampleEvent]:
        raters = 2 if self._random.random() < 0.25 else 1
        for annotator in self._random.sample(ANNOTATORS, raters):
            for criterion, stars in item.queue.criteria.items():
                event = {
                    "kind": "annotation",
                    "id": self._id("a"),
                    "at": at,
                    "queue": item.queue.name,
                    "item": item.name,
                    "level": item.queue.level,
                    "criterion": criterion,
                    "annotator": annotator,
                    **self._rating(item, stars),
                }
                item.rated.append(event)
                yield event

    def _rating(self, item: _Item, stars: bool) -> SampleEvent:
        seen = min(1.0, max(0.0, item.quality + self._random.gauss(0, 0.08)))
        rating: SampleEvent = (
            {"stars": 1 + min(4, int(seen * 5))} if stars else {"thumbs": "up" if seen >= 0.5 else "down"}
        )
        if self._random.random() < 0.7:
            rating["explanation"] = self._random.choice(_GOOD if seen >= 0.5 else _BAD)
        return rating

    def _change(self, item: _Item, at: int) -> Iterator[SampleEvent]:
        """Correct an annotation, delete it, or take the item out of the queue."""
        if not item.rated:
            return
        rated = self._random.choice(item.rated)
        choice = self._random.random()
        if choice < 0.7:
            kept = {name: rated[name] for name in ("kind", "queue", "item", "level", "criterion", "annotator")}
            yield {**kept, "id": self._id("a"), "at": at, **self._rating(item, "stars" in rated)}
        elif choice < 0.9:
            kept = {name: rated[name] for name in ("kind", "queue", "item", "criterion", "annotator")}
            yield {**kept, "id": self._id("a"), "at": at, "deleted": True}
        elif item.queue.listed:
            (listing,) = self._listing(item)
            yield {**listing, "at": at, "deleted": True}

    def _rescore(self, item: _Item, at: int) -> list[SampleEvent]:
        metric = item.queue.metrics[0]
        event = self._evaluation(item, metric, metric.judge.split("/")[0] + "/new", at)
        return [self._scored(event, item, metric, 0.05)]
