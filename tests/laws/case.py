"""The parts of a case: events as they are on the wire, and the counts that must follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from aggregator.policy import Policy

DAY: Final = "2026-11-23"
QUEUE: Final = "support"
CRITERION: Final = "overall"
METRIC: Final = "relevance"
JUDGE: Final = "v1"

Event = Mapping[str, Any]
"""An event as JSON, with its `kind`."""


def annotation(at: str = "09:00", **fields: Any) -> Event:
    """A person judges item `t1` of queue `support`."""
    return _event("annotation", at, {"queue": QUEUE, "item": "t1", **fields})


def evaluation(at: str = "09:00", **fields: Any) -> Event:
    """Judge `v1` of metric `relevance` scores item `t1`."""
    return _event("evaluation", at, {"item": "t1", "metric": METRIC, "judge": JUDGE, **fields})


def queue_item(at: str = "08:00", **fields: Any) -> Event:
    """Item `t1` is put into queue `support`, or (deleted) is taken out of it."""
    return _event("queue_item", at, {"queue": QUEUE, "item": "t1", **fields})


def _event(kind: str, at: str, fields: Event) -> Event:
    """`at` is RFC 3339, or hour and minute of `DAY`."""
    time = at if "T" in at else f"{DAY}T{at}:00Z"
    return {"kind": kind, "id": f"{kind[0]}-{fields['item']}-{at}", "at": time, **fields}


class Cell(NamedTuple):
    """Comparisons of one rating with one verdict of one judge."""

    rating: Literal["down", "up", "1", "2", "3", "4", "5"]
    verdict: Literal["pass", "fail"]
    comparisons: int = 1
    superseded: bool = False
    """Whether another judge's verdict on the item is newer."""
    metric: str = METRIC
    judge: str = JUDGE
    criterion: str = CRITERION
    day: str = DAY
    queue: str = QUEUE


class Annotations(NamedTuple):
    """Standing annotations of a criterion and day, and how many of them are compared with at least one verdict."""

    standing: int
    contributing: int
    criterion: str = CRITERION
    day: str = DAY
    queue: str = QUEUE


class Coverage(NamedTuple):
    """What a metric shows for the items placed in a queue, by the day of the evaluation."""

    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0
    metric: str = METRIC
    day: str = DAY
    queue: str = QUEUE


class Funnel(NamedTuple):
    """The items placed in queue `support`, and what they wait for."""

    queued: int
    waiting_evaluation: int = 0
    errored: int = 0
    waiting_annotation: int = 0


@dataclass(frozen=True)
class Case:
    """A history and its counts. The order of the events is one in which they may arrive."""

    title: str
    """The law that the case shows, as a sentence."""
    events: Sequence[Event]
    counts: Sequence[Cell | Annotations | Coverage]
    """Every tally that is not empty."""
    tp: int = 0
    """Comparisons of queue `support` with the current verdicts that both sides pass."""
    fn: int = 0
    """Comparisons that the person passes and the metric fails."""
    tn: int = 0
    """Comparisons that both sides fail."""
    fp: int = 0
    """Comparisons that the person fails and the metric passes."""
    items: int = 0
    """Distinct items of queue `support` among these comparisons."""
    funnel: Funnel | None = None
    policy: Policy = Policy.EACH
