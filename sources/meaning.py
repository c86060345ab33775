"""The meaning of a judgement by the rules of its source: who judges, and with which verdict or rating.

Nothing is guessed. A judgement counts if it states pass or fail itself, or if a rule decides how to read it; a bare 4
may be of 5 or of 10.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aggregator.facts import DEFAULT_CRITERION, MAX_NAME, Direction, Level
from aggregator.ratings import Thumbs
from sources.records import Said, Skip, SkipReason, UnruledName
from sources.rules import JudgeRule, LabelThumbs, NumberThumbs, RatingRule, RatingScale, Role, SourceSettings
from sources.shapes import finite, number_text
from streams.events.decoder import MetricDefaults
from streams.events.wire import AnnotationEvent, EvaluationEvent, QueueItemEvent

JudgedValue = bool | float | str | None
"""A score, a label or a boolean."""

_SHOWN: Final = 64
"""Characters of a value that are kept for who writes a rule."""
_NO_CRITERION: Final = RatingRule()
_NO_METRIC: Final = JudgeRule.model_validate({})
_THUMBS: Final[Mapping[str, Thumbs]] = {"true": "up", "false": "down"}
_BINARY: Final[Mapping[float | None, Thumbs]] = {1: "up", 0: "down"}
_STARS: Final[Mapping[float | None, int]] = {stars: stars for stars in range(1, 6)}


def judged_value(value: Any) -> JudgedValue:
    """The value of a field that a tool leaves open; None for a list or an object, which need a rule of their own."""
    return value if isinstance(value, bool | str) else finite(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a tool reports of one judgement, in the tool's own words."""

    name: str = ""
    """The tool's name of the criterion or metric; empty where it has none."""
    item: str | None
    level: Level = "trace"
    value: JudgedValue = None
    label: str | None = None
    """The label, for a tool that has one in addition to the score in `value`."""
    passed: bool | None = None
    """The verdict, where the tool itself reports one."""
    scale: RatingScale | None = None
    """The scale of a rating, where the tool itself reports it."""
    threshold: float | None = None
    direction: Direction | None = None
    error: str | None = None
    """Why a judge failed; empty if it failed without a reason."""
    comment: str | None = None
    author: str | None = None
    judge: str | None = None
    queue: str | None = None
    """The tool's id or name of the queue."""
    expected: str | None = None
    part: str = ""

    @property
    def score(self) -> float | None:
        """The value, if it is a number."""
        return None if isinstance(self.value, bool | str) else self.value

    @property
    def text(self) -> str | None:
        """The label, or the value as one: that of a boolean is `true` or `false`, that of 4.0 is `4`."""
        if self.label is not None or self.value is None or isinstance(self.value, str):
            return self.value if self.label is None else self.label  # type: ignore[return-value]
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return number_text(self.value)

    def unruled(self, role: Role) -> UnruledName:
        """This judgement, for who writes a rule."""
        return UnruledName(role, self.name[:MAX_NAME], _shown(self.text))


def _shown(value: str | None) -> str:
    """A value as it is kept for who writes a rule.

    >>> _shown("x" * 200) == "x" * 64
    True
    """
    return (value or "")[:_SHOWN]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one source, and the thresholds of the deployment."""

    settings: SourceSettings
    defaults: Mapping[str, MetricDefaults] = field(default_factory=dict)
    """Threshold and direction by name of the metric, for judgements without them."""

    def role(
        self,
        name: str,
        word: str | None = None,
        reliable: Mapping[str, Role] | None = None,
        value: str | None = None,
    ) -> Role | Skip:
        """Who judges: by the setting `roles`, by the tool's own word, or by the table that has the name.

        Args:
            name: the tool's name of the criterion or metric.
            word: the tool's word for who judges.
            reliable: the words of this tool that are proof.
            value: the score or label as text, for who writes a rule.
        """
        if word is not None:
            if (role := self.settings.roles.get(word)) is not None:
                return role
            if reliable is not None and word in reliable:
                return reliable[word]
        human, judge = name in self.settings.criteria, name in self.settings.metrics
        if human != judge:
            return "human" if human else "judge"
        where = "both" if human else "neither"
        why = f"{name!r} is in {where} of `criteria` and `metrics`: name it in one"
        unruled = UnruledName("", name[:MAX_NAME], _shown(value))
        return Skip(SkipReason.ROLE_UNKNOWN, f"{why}, or set `roles`" if word is not None else why, unruled)

    def judgement(self, said: Judgement, word: str | None, reliable: Mapping[str, Role] | None = None) -> Said | Skip:
        """An annotation or an evaluation, whichever the role decides."""
        role = self.role(said.name, word, reliable, said.text)
        if isinstance(role, Skip):
            return role
        return self.annotation(said) if role == "human" else self.evaluation(said)

    def annotation(self, said: Judgement) -> Said | Skip:
        """The rating of a person."""
        if not said.item:
            return self._no_item()
        queue = self.queue(said.queue)
        if isinstance(queue, Skip):
            return queue
        rule = self.settings.criteria.get(said.name or DEFAULT_CRITERION, _NO_CRITERION)
        rating = _rating(said, rule.rating or said.scale)
        if isinstance(rating, Skip):
            return rating
        event = AnnotationEvent(
            item=said.item,
            level=said.level,
            queue=queue,
            criterion=rule.criterion or said.name or None,
            annotator=said.author or None,
            thumbs=None if isinstance(rating, int) else rating,
            stars=rating if isinstance(rating, int) else None,
            explanation=said.comment or None,
            expected=said.expected or None,
        )
        return Said(event, said.part)

    def evaluation(self, said: Judgement) -> Said | Skip:
        """The verdict of a judge."""
        if not said.item:
            return self._no_item()
        rule = self.settings.metrics.get(said.name, _NO_METRIC)
        event = EvaluationEvent(
            item=said.item,
            level=said.level,
            metric=rule.metric or said.name,
            judge=rule.judge or said.judge or None,
            threshold=said.threshold,
            direction=rule.direction or said.direction,
            reason=said.comment or None,
        )
        if said.error is not None or said.text in rule.errors:
            event.status, event.reason = "error", said.error or event.reason
            return Said(event, said.part)
        event.score = said.score
        event.threshold = said.threshold if rule.threshold is None else rule.threshold
        event.passed = said.passed
        if event.passed is None and (said.text in rule.passes or said.text in rule.fails):
            event.passed = said.text in rule.passes
        if event.passed is None and (missing := self._complete(event)):
            return Skip(SkipReason.NO_RULE, f"{said.name!r} {missing}", said.unruled("judge"))
        return Said(event, said.part)

    def _complete(self, event: EvaluationEvent) -> str | None:
        """Decide the verdict by score and threshold; the deployment's threshold is the last. Or what is missing."""
        if event.score is None:
            return "has no score and no label in `pass` or `fail`: name its labels under `metrics`"
        default = self.defaults.get(event.metric or "")
        if default is not None:
            event.threshold = default.threshold if event.threshold is None else event.threshold
            event.direction = event.direction or default.direction
        return "has no threshold: set one under `metrics`" if event.threshold is None else None

    def queue_item(self, queue: str | None, item: str | None, level: Level = "trace", part: str = "") -> Said | Skip:
        """An item that stands in a queue."""
        if not item:
            return self._no_item()
        name = self.queue(queue)
        return name if isinstance(name, Skip) else Said(QueueItemEvent(item=item, level=level, queue=name), part)

    def queue(self, native: str | None) -> str | Skip:
        """The queue for the tool's own queue."""
        name = self.settings.queues.get(native or "", self.settings.queue)
        if name is not None:
            return name
        why = "set `queue`" if native is None else f"queue {native!r} is not in `queues`, and `queue` is not set"
        return Skip(SkipReason.NO_QUEUE, why)

    def _no_item(self) -> Skip:
        where = self.settings.item
        return Skip(SkipReason.NO_ITEM, "names no item" if where is None else f"nothing is at `item` = {where!r}")


def _rating(said: Judgement, scale: RatingScale | None) -> Thumbs | int | Skip:
    """Thumbs or stars of a rating."""
    if scale is None:
        if said.passed is not None:
            return "up" if said.passed else "down"
        why = f"{said.name!r} has no rule: set its `rating` under `criteria`"
        return Skip(SkipReason.NO_RULE, why, said.unruled("human"))
    rating: Thumbs | int | None
    if isinstance(scale, LabelThumbs):
        rating = "up" if said.text in scale.up else "down" if said.text in scale.down else None
        if rating is None:
            why = f"a label of {said.name!r} is in neither `up` nor `down`"
            return Skip(SkipReason.LABEL_UNMAPPED, why, said.unruled("human"))
        return rating
    number = _number(said)
    if isinstance(scale, NumberThumbs):
        rating = None if number is None else _side(number, scale)
    elif scale == "thumbs":
        rating = _THUMBS.get(said.text or "") or _BINARY.get(number)
    else:
        rating = _STARS.get(number)
    if rating is None:
        why = f"a value of {said.name!r} is not on the scale of its `rating`"
        return Skip(SkipReason.OFF_SCALE, why, said.unruled("human"))
    return rating


def _side(number: float, scale: NumberThumbs) -> Thumbs:
    passes = number <= scale.pass_at if scale.direction == "lower" else number >= scale.pass_at
    return "up" if passes else "down"


def _number(said: Judgement) -> float | None:
    """The score, or the number that a label is."""
    if said.score is not None:
        return said.score
    if isinstance(said.value, bool) or said.text is None:
        return None
    return finite(said.text)
