"""Items as pages show them: what people and metrics state about each, next to each other."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from markupsafe import Markup, escape

from aggregator.facts import Level
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import Outcome
from sinks.budgets import ITEM_PEOPLE, ITEM_ROWS
from sinks.page.figures import anchor
from sinks.page.formats import plural
from sinks.page.urls import item_path, openable
from sinks.page.wording import isolated
from sinks.queries.comparisons import Query
from sinks.queries.item_answer import ItemAnnotation, ItemEvaluation, PairState
from sinks.queries.item_rows import (
    ItemRows,
    compared_rating,
    item_level,
    item_tags,
    item_text,
    pair_outcomes,
    pair_states,
)
from sinks.queries.item_urls import item_address
from sinks.queries.items import PairNames
from sinks.queries.search import PREFIX, search_words, unspaced

LINES: Final = 6
"""Lines of a text that is folded."""
_LONG: Final = 480
"""Characters of a text from which it is folded."""
_ASIDE: Final = 3
"""Metrics that no chosen comparison names and that are shown without being folded."""


@dataclass(frozen=True, slots=True)
class ScoreBar:
    """A score and its threshold on a scale, in percent of its width."""

    start: float
    """Position of the threshold."""
    end: float
    """Position of the score."""

    @property
    def left(self) -> float:
        """Left end of the bar."""
        return min(self.start, self.end)

    @property
    def width(self) -> float:
        """Width of the bar."""
        return round(abs(self.end - self.start), 2)


@dataclass(slots=True)
class ShownAnnotation:
    """A person's annotation of an item."""

    row: ItemAnnotation
    chosen: bool = False
    """Whether a chosen comparison has it."""
    aside: bool = False
    """Whether it is of another criterion than the reader chose, so that its marks only distract."""
    disagreeing: int = 0
    """Number of metrics that disagree with it, of those that the reader chose."""
    compared: int = 0
    """Number of such metrics that it is compared with."""


@dataclass(slots=True)
class ShownEvaluation:
    """A metric's evaluation of an item."""

    row: ItemEvaluation
    bar: ScoreBar | None
    """None without a score or a threshold."""
    chosen: bool = False
    """Whether a chosen comparison has it."""
    aside: bool = False
    """Whether it is of another metric than the reader chose, so that its marks only distract."""
    people: dict[Outcome, list[ItemAnnotation]] = field(default_factory=dict)
    """The annotations that it is compared with, of those that the reader chose, by outcome."""

    @property
    def disagrees(self) -> bool:
        """Whether it disagrees with a person."""
        return "fp" in self.people or "fn" in self.people

    @property
    def against(self) -> str:
        """With whom it disagrees, in words; empty when with nobody."""
        text = ", ".join(
            f"{words} {_names(self.people[outcome])}" for outcome, words in _SIDES if outcome in self.people
        )
        return f"{text[:1].upper()}{text[1:]}"

    @property
    def agreeing(self) -> int:
        """Number of annotations that it agrees with."""
        return sum(len(self.people.get(outcome, ())) for outcome in ("tp", "tn"))


_DISAGREE: Final = ("fp", "fn")
_SIDES: Final[tuple[tuple[Outcome, str], ...]] = (("fp", "too lenient for"), ("fn", "too strict for"))


@dataclass(frozen=True, slots=True)
class ItemEntry:
    """An item of a list."""

    key: str
    """Element id."""
    item: str
    href: str
    """Address of the item's page."""
    open: str | None
    """Address in the annotation tool, if a link may have it."""
    level: Level
    input: str | None
    output: str | None
    tags: dict[str, str]
    pips: int | None
    """Strength of the strongest chosen disagreement, 1 to 3; None without stars or disagreement."""
    strength: str
    """Strength of disagreement in words."""
    annotations: list[ShownAnnotation]
    others: list[ShownAnnotation]
    """Annotations of other criteria than the chosen ones."""
    evaluations: list[ShownEvaluation]
    more: list[ShownEvaluation]
    """Evaluations that no chosen comparison has, when they are many."""
    people_left_out: int
    """Number of annotations that only the item's page shows."""
    metrics_left_out: int
    """Number of evaluations that only the item's page shows."""

    @property
    def more_words(self) -> str:
        """What is folded, in words."""
        disagreeing = sum(each.disagrees for each in self.more)
        failed = sum(each.row["status"] != "ok" for each in self.more)
        parts = [f"{disagreeing} disagree" if disagreeing else "", f"{failed} without a verdict" if failed else ""]
        words = ", ".join(part for part in parts if part)
        return f"{plural(len(self.more), 'more metric')}{f': {words}' if words else ''}"


def item_entry(
    queue: str,
    rows: ItemRows,
    chosen: Collection[PairNames],
    rules: CountingRules,
    item_url: str,
    *,
    most: int | None = ITEM_ROWS,
    criterion: str | None = None,
    metric: str | None = None,
) -> ItemEntry:
    """An item with its standing rows.

    Args:
        queue: name of the queue.
        rows: the standing rows.
        chosen: the comparisons for which it is in the list.
        rules: how rows count.
        item_url: template of addresses in the annotation tool.
        most: most rows of each group that are shown; None for all.
        criterion: the one that the reader chose: rows and disagreements of others are not marked.
        metric: the same of metrics.
    """
    annotations = [ShownAnnotation(row, aside=criterion not in (None, row["criterion"])) for row in rows["annotations"]]
    evaluations = [
        ShownEvaluation(row, score_bar(row), aside=metric not in (None, row["metric"])) for row in rows["evaluations"]
    ]
    pips: set[int | None] = set()
    # An item may have very many pairs: what one annotation has alone is computed outside of the loop.
    for (annotation, states), person in zip(pair_states(rows, rules), annotations, strict=True):
        outcomes = pair_outcomes(annotation, rules)
        for verdict, state in zip(evaluations, states, strict=True):
            row = verdict.row
            is_chosen = (annotation["criterion"], annotation["annotator"], row["metric"]) in chosen
            if state is not PairState.COUNTED and not (state is PairState.OFF_TOPIC and is_chosen):
                continue
            outcome = outcomes[bool(row["passed"])]
            disagrees = outcome in _DISAGREE
            # What the reader chose is marked by the comparisons that they chose alone.
            if person.aside or not verdict.aside:
                person.compared += 1
                person.disagreeing += disagrees
            if verdict.aside or not person.aside:
                verdict.people.setdefault(outcome, []).append(annotation)
            if is_chosen:
                person.chosen = verdict.chosen = True
                if disagrees:
                    pips.add(_strength(compared_rating(annotation) - 1, rules.pass_limit(annotation["criterion"])))
    criteria = {criterion for criterion, *_ in chosen}
    main = _ordered(each for each in evaluations if each.chosen)
    aside = _ordered(each for each in evaluations if not each.chosen)
    if len(aside) <= _ASIDE:
        main, aside = main + aside, []
    people = [each for each in annotations if each.row["criterion"] in criteria]
    others = [each for each in annotations if each.row["criterion"] not in criteria]
    strongest = max((each for each in pips if each is not None), default=None)
    level = item_level(rows)
    return ItemEntry(
        key=anchor(rows["item"]),
        item=rows["item"],
        href=item_path(queue, rows["item"]),
        open=openable(item_address(item_text(rows, "url"), item_url, rows["item"], level)),
        level=level,
        input=item_text(rows, "input"),
        output=item_text(rows, "output"),
        tags=item_tags(rows),
        pips=strongest,
        strength=_STRENGTHS[strongest - 1] if strongest else "Thumb rating, strength unknown" if pips else "",
        annotations=people[:most],
        others=others[:most],
        evaluations=main[:most],
        more=aside[:most],
        people_left_out=max(0, len(people) - ITEM_ROWS)
        + max(0, len(others) - ITEM_ROWS)
        + rows["annotations_left_out"],
        metrics_left_out=max(0, len(main) - ITEM_ROWS) + max(0, len(aside) - ITEM_ROWS) + rows["evaluations_left_out"],
    )


_STRENGTHS: Final = ("Borderline", "Clear disagreement", "Strong disagreement")


def _ordered(evaluations: Iterable[ShownEvaluation]) -> list[ShownEvaluation]:
    """Those that disagree first, then by name."""
    return sorted(evaluations, key=lambda each: (each.aside, not each.disagrees, each.row["metric"]))


def _names(people: Sequence[ItemAnnotation]) -> str:
    others = len(people) - ITEM_PEOPLE
    named = ", ".join(map(_who, people[:ITEM_PEOPLE]))
    return named if others <= 0 else f"{named} and {plural(others, 'other')}"


def _who(row: ItemAnnotation) -> str:
    name = isolated(row["annotator"]) if row["annotator"] else "unnamed"
    return f"{name if row['median'] is None else 'the median rating'} ({isolated(row['criterion'])})"


def _strength(stars: int, pass_stars: int) -> int | None:
    """1 next to the pass mark, 3 at an end of the scale, otherwise 2; None for a thumb, which has no stars."""
    if stars < 1:
        return None
    if stars in (pass_stars - 1, pass_stars):
        return 1
    return 3 if stars in (1, 5) else 2


def score_bar(row: ItemEvaluation) -> ScoreBar | None:
    """Where score and threshold of an evaluation are on a scale; None without one of them."""
    score, threshold = row["score"], row["threshold"]
    if score is None or threshold is None:
        return None
    low, high = min((score, threshold, 0.0)), max((score, threshold, 1.0))

    def place(value: float) -> float:
        # Halved first: the difference of two large numbers may overflow.
        return round(100 * (value / 2 - low / 2) / (high / 2 - low / 2), 2)

    return ScoreBar(place(threshold), place(score))


def folds(text: str) -> bool:
    r"""Whether a text is so long that it is folded.

    >>> folds("short"), folds("x" * 481), folds("1\n2\n3\n4\n5\n6\n7")
    (False, True, True)
    """
    return len(text) > _LONG or text.count("\n") >= LINES


def breakable(name: str) -> Markup:
    """A name that may go on in the next line after each underscore.

    >>> breakable("a_<b>")
    Markup('a_<wbr>&lt;b&gt;')
    """
    return Markup("_<wbr>").join(map(escape, name.split("_")))


def marked(text: str, search: str | None) -> Markup:
    """A text, escaped, with marks where a search finds it.

    Words that have other letters than the text, such as those without accents, are found and not marked.

    >>> marked("<b> Refunds", "refund b")
    Markup('&lt;<mark>b</mark>&gt; <mark>Refund</mark>s')
    """
    if search is None:
        return escape(text)
    parts = _places(search).split(text)
    return Markup("").join(
        Markup("<mark>{}</mark>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


@lru_cache(32)
def _places(search: str) -> re.Pattern[str]:
    """Where words of a search are in a text, at the beginning of a word; in scripts without blanks anywhere."""
    wanted = [
        re.escape(word)
        if unspaced(word)
        else rf"(?<![^\W_]){re.escape(word)}" + ("" if len(word) >= PREFIX else r"(?![^\W_])")
        for word in sorted(search_words(search), key=len, reverse=True)
    ]
    # Without words it matches nowhere.
    return re.compile(f"({'|'.join(wanted) or '(?!)'})", re.IGNORECASE)


def entries(
    query: Query,
    rows: Sequence[ItemRows],
    chosen: Sequence[Collection[PairNames]],
    rules: CountingRules,
    item_url: str,
) -> list[ItemEntry]:
    """The items of a page, in order."""
    return [
        item_entry(query.queue, each, names, rules, item_url, criterion=query.criterion, metric=query.metric)
        for each, names in zip(rows, chosen, strict=True)
    ]
