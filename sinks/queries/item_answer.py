"""Types of an answer about one item: its rows, and what they count for."""

from enum import StrEnum
from typing import TypedDict

from aggregator.facts import Direction, Level, Status
from aggregator.policy import Policy
from aggregator.ratings import Rating, Thumbs
from aggregator.statistics.confusion import Outcome


class ItemText(TypedDict):
    """What every row about an item has."""

    id: str
    """Id of the event."""
    at: int
    """Time of the event, milliseconds since 1970."""
    level: Level
    """Level of the item: trace, span or thread."""
    url: str | None
    """Address of the item, as the event has it."""
    input: str | None
    """What the application received."""
    output: str | None
    """What the application answered."""
    tags: dict[str, str]
    """Value of each tag of the event."""
    deleted: bool
    """Whether the row was deleted; it has no texts then."""


class ItemAnnotation(ItemText):
    """The newest annotation of an annotator for an item and criterion."""

    criterion: str
    """Name of the criterion."""
    annotator: str
    """Name of the annotator; empty when the annotation has none."""
    thumbs: Thumbs | None
    """Rating by thumbs; null when it is by stars or deleted."""
    stars: int | None
    """Rating by stars, 1 to 5; null when it is by thumbs or deleted."""
    explanation: str | None
    """The annotator's explanation."""
    expected: str | None
    """The output that the annotator expected."""
    passes: bool | None
    """Whether the person passes the item, by the setting `pass_stars`; null when deleted."""
    counted: bool
    """Whether it is compared, by the policy."""
    median: Rating | None
    """Under policy `majority`, of the newest annotation of the criterion: the rating that is compared in place of its
    own, the lower median of all. Else null.
    """


class ItemEvaluation(ItemText):
    """The newest verdict, or the newest failure, of a judge version of a metric for an item."""

    metric: str
    """Name of the metric."""
    judge: str
    """Version of the metric; empty when the evaluation has none."""
    status: Status
    """`error` or `skipped` for a failure."""
    score: float | None
    """Score of the evaluation."""
    threshold: float | None
    """Score from which the evaluation passes."""
    direction: Direction
    """Whether higher or lower scores pass."""
    passed: bool | None
    """Whether the metric passes the item; null for a failure and when deleted."""
    reason: str | None
    """The metric's reason."""
    current: bool
    """Whether it is the metric's newest verdict over all judge versions."""


class QueuePlacement(ItemText):
    """The newest queue item of an item."""


class PairState(StrEnum):
    """What an annotation and an evaluation of one item count for."""

    COUNTED = "counted"
    """Counted: it is in the confusion matrix of criterion and metric."""
    OFF_TOPIC = "off_topic"
    """Counted, but the setting `criterion_metrics` leaves the pair out of cards, gauges and gate."""
    SUPERSEDED = "superseded"
    """Counted for its own judge version only: the metric has a newer verdict."""
    ERROR = "error"
    """Not counted: the evaluation failed."""
    SKIPPED = "skipped"
    """Not counted: the evaluation was skipped."""
    EVALUATION_DELETED = "evaluation_deleted"
    """Not counted: the evaluation was deleted."""
    NOT_LATEST = "not_latest"
    """Not counted by itself: the policy `latest` takes a newer annotation of the item and criterion, and `majority`
    makes one comparison of all of them, which is listed with the newest.
    """
    ANNOTATION_DELETED = "annotation_deleted"
    """Not counted: the annotation was deleted."""
    ITEM_REMOVED = "item_removed"
    """Not counted: the item was removed from the queue."""


class ItemPair(TypedDict):
    """An annotation with an evaluation of the same item, and the cell that they give."""

    criterion: str
    """Name of the criterion."""
    annotator: str
    """Name of the annotator."""
    metric: str
    """Name of the metric."""
    judge: str
    """Version of the metric."""
    status: Status
    """`error` or `skipped` when the evaluation is a failure."""
    state: PairState
    """Whether the pair is counted, and why not."""
    outcome: Outcome | None
    """Cell of the confusion matrix; null when it is in none."""
    day: str | None
    """UTC day that it is counted on, that of the annotation; null when it is in no cell."""
    why: str
    """The reason in words."""


class ItemTrace(TypedDict):
    """An item of a queue: its rows, and what they count for."""

    queue: str
    """Name of the queue."""
    item: str
    """Id of the item."""
    as_of: str | None
    """Time up to which every partition is complete; null before the first checkpoint."""
    policy: Policy
    """Which annotations are compared: `each`, or of each criterion the `latest` or the `majority`."""
    pass_stars: int
    """Stars from which a person passes an item, unless the criterion has a number of its own."""
    url: str | None
    """Address of the item in the annotation tool: of its events, else by `item_url`."""
    input: str | None
    """What the application received: of the newest annotation that has it, else of the queue item or an evaluation."""
    output: str | None
    """What the application answered, by the same order."""
    tags: dict[str, str]
    """Value of each tag, by the same order."""
    placement: QueuePlacement | None
    """The queue item; null without one."""
    annotations: list[ItemAnnotation]
    """The newest annotation of every annotator and criterion in this queue, oldest first; deleted ones too."""
    evaluations: list[ItemEvaluation]
    """The newest verdict and the newest failure of every judge version, oldest first; deleted ones too."""
    pairs: list[ItemPair]
    """Every annotation with every evaluation, those in cells first."""
    annotations_left_out: int
    """Number of annotations that are not listed because the item has so many."""
    evaluations_left_out: int
    """Number of such evaluations."""
    pairs_left_out: int
    """Number of listed annotations with listed evaluations that are not listed as pairs."""
