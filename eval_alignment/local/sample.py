"""Sample events for the demo: four annotation queues with strict, lenient and good judges.

Every item has a hidden quality, and texts that fit it. People rate it with a little noise; each metric scores it with
its own bias and noise. In one queue people disagree, in another a new judge version is worse than the one before, and
in the first a judge is too lenient on items in German. `history` fills the last weeks. `live` never ends: new items,
late annotations, edits, deletions, failures, items taken out of a queue, and after a while a new judge version that
scores old items again.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aggregator.days import DAY_MS
from eval_alignment.local.sample_texts import CASES, TONE_COMPLAINT, TONE_PRAISE, VERDICT_REASONS, Case

HISTORY_DAYS: Final = 30
ITEMS_A_DAY: Final = 16
NEW_JUDGE_DAYS: Final = 4
"""Age in days of the worse judge version at the end of the history."""
REJUDGED_DAYS: Final = 18
"""Age in days of the oldest items that it has judged too."""
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
    lower: bool = False
    """Whether lower scores are better."""
    german_lean: float = 0.0
    """Added to the scores of items in German as well."""
    replaced_by: "Metric | None" = None
    """The version that judges since `NEW_JUDGE_DAYS`."""


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
    human_noise: float = 0.08
    """Standard deviation of the quality that two people see."""
    pairs: float = 0.25
    """Share of items that two people annotate."""


QUEUES: Final = (
    Queue(
        "Support replies",
        "trace",
        {"helpfulness": False, "tone": True},
        (
            Metric("answer_relevancy", "gpt-4o/p3", noise=0.06),
            Metric("helpfulness_judge", "gpt-4o/p3", lean=-0.16, german_lean=0.45),
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
            Metric(
                "correctness_judge",
                "gpt-4o-mini/p1",
                noise=0.08,
                replaced_by=Metric("correctness_judge", "gpt-4o-mini/p2", lean=0.3, noise=0.3),
            ),
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
    Queue(
        "Marketing copy",
        "trace",
        {"on_brand": False},
        (
            Metric("brand_judge", "gpt-4o/p2", noise=0.1),
            Metric("readability", "rules/3", noise=0.3),
        ),
        listed=True,
        human_noise=1.5,
        pairs=0.9,
    ),
)
ANNOTATORS: Final = ("amira", "ben", "chloe", "dmitri")
_PASS: Final = 0.5
"""Quality from which an item is good."""
_LANGUAGES: Final = ("en", "en", "de", "es")
_CHANNELS: Final = ("chat", "email")


@dataclass(slots=True)
class _Item:
    name: str
    queue: Queue
    quality: float
    at: int
    case: Case
    tags: dict[str, str]
    rated: list[SampleEvent] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether it has the good answer."""
        return self.quality >= _PASS

    def named(self) -> SampleEvent:
        """The fields of every event that names it."""
        return {"item": self.name, "level": self.queue.level, "tags": self.tags}

    def texts(self) -> SampleEvent:
        """Its texts and address."""
        address = f"https://demo.example/{self.queue.level}s/{self.name}"
        return {"input": self.case.input, "output": self.case.good if self.is_good else self.case.bad, "url": address}


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
                yield from self._evaluations(item, is_new=day <= NEW_JUDGE_DAYS)
                if NEW_JUDGE_DAYS < day <= REJUDGED_DAYS:
                    yield from self._rejudged(item, now - NEW_JUDGE_DAYS * DAY_MS)
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
                events = [*self._listing(item), *self._evaluations(item, is_new=True)]
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
        tags = {"language": self._random.choice(_LANGUAGES), "channel": self._random.choice(_CHANNELS)}
        case = self._random.choice(CASES[queue.name])
        item = _Item(self._id(f"{queue.level}-"), queue, self._random.betavariate(2.4, 1.6), at, case, tags)
        self._items.append(item)
        return item

    def _listing(self, item: _Item) -> Iterator[SampleEvent]:
        if item.queue.listed:
            yield {
                "kind": "queue_item",
                "id": self._id("q"),
                "at": item.at,
                "queue": item.queue.name,
                **item.named(),
                **item.texts(),
            }

    def _evaluations(self, item: _Item, *, is_new: bool) -> Iterator[SampleEvent]:
        for metric in item.queue.metrics:
            fate = self._random.random()
            if fate < 0.04:
                continue
            judge = metric.replaced_by if is_new and metric.replaced_by else metric
            event = self._evaluation(item, judge, judge.judge, item.at + 500)
            if fate < 0.06:
                status = self._random.choice(("error", "skipped"))
                yield {**event, "status": status, "reason": "the judge timed out"}
                continue
            yield self._scored(event, item, judge)

    def _rejudged(self, item: _Item, at: int) -> Iterator[SampleEvent]:
        """Verdicts of new judge versions on an item that the versions before have judged."""
        for judge in (metric.replaced_by for metric in item.queue.metrics):
            if judge is not None:
                yield self._scored(self._evaluation(item, judge, judge.judge, at), item, judge)

    def _evaluation(self, item: _Item, metric: Metric, judge: str, at: int) -> SampleEvent:
        texts = {} if item.queue.listed else item.texts()
        event = {"kind": "evaluation", "id": self._id("e"), "at": at, "metric": metric.name, "judge": judge}
        return {**event, **item.named(), **texts}

    def _scored(self, event: SampleEvent, item: _Item, metric: Metric) -> SampleEvent:
        lean = metric.lean + (metric.german_lean if item.tags["language"] == "de" else 0.0)
        score = min(1.0, max(0.0, item.quality + lean + self._random.gauss(0, metric.noise)))
        passed, score = score >= _PASS, round(1 - score if metric.lower else score, 3)
        return {
            **event,
            "score": score,
            "threshold": _PASS,
            "direction": "lower" if metric.lower else "higher",
            "reason": VERDICT_REASONS[metric.name][0 if passed else 1],
        }

    def _annotations(self, item: _Item, at: int) -> Iterator[SampleEvent]:
        raters = 2 if self._random.random() < item.queue.pairs else 1
        for annotator in self._random.sample(ANNOTATORS, raters):
            for criterion in item.queue.criteria:
                event = {
                    "kind": "annotation",
                    "id": self._id("a"),
                    "at": at,
                    "queue": item.queue.name,
                    "criterion": criterion,
                    "annotator": annotator,
                    **item.named(),
                    **self._rating(item, criterion),
                }
                item.rated.append(event)
                yield event

    def _rating(self, item: _Item, criterion: str) -> SampleEvent:
        seen = min(1.0, max(0.0, item.quality + self._random.gauss(0, item.queue.human_noise)))
        passes = seen >= _PASS
        if item.queue.criteria[criterion]:
            # Three stars or more are a pass.
            stars = 3 + int((seen - _PASS) * 5.99) if passes else 1 + int(seen * 3.99)
            rating: SampleEvent = {"stars": min(5, stars)}
        else:
            rating = {"thumbs": "up" if passes else "down"}
        if self._random.random() < 0.7:
            # Where a person sees another quality than the answer has, what the case has to say would not fit.
            if criterion == "tone":
                rating["explanation"] = self._random.choice(TONE_PRAISE if passes else TONE_COMPLAINT)
            elif passes == item.is_good:
                rating["explanation"] = item.case.praise if passes else item.case.complaint
            else:
                rating["explanation"] = "Just good enough." if passes else "Not quite what we want."
        if not passes and self._random.random() < 0.5:
            rating["expected"] = item.case.good
        return rating

    def _change(self, item: _Item, at: int) -> Iterator[SampleEvent]:
        """Correct an annotation, delete it, or take the item out of the queue."""
        if not item.rated:
            return
        rated = self._random.choice(item.rated)
        choice = self._random.random()
        if choice < 0.7:
            kept = {name: rated[name] for name in ("kind", "queue", "criterion", "annotator")}
            yield {**kept, **item.named(), "id": self._id("a"), "at": at, **self._rating(item, rated["criterion"])}
        elif choice < 0.9:
            kept = {name: rated[name] for name in ("kind", "queue", "item", "criterion", "annotator")}
            yield {**kept, "id": self._id("a"), "at": at, "deleted": True}
        elif item.queue.listed:
            (listing,) = self._listing(item)
            yield {**listing, "at": at, "deleted": True}

    def _rescore(self, item: _Item, at: int) -> list[SampleEvent]:
        metric = item.queue.metrics[0]
        judge = metric.replaced_by or replace(metric, judge=metric.judge.split("/")[0] + "/new", noise=0.05)
        return [self._scored(self._evaluation(item, judge, judge.judge, at), item, judge)]
