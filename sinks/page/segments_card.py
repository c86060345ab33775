"""The card of segments: comparisons of one metric by tag, level, judge version or annotator."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aggregator.statistics.confusion import Undefined
from aggregator.statistics.error_side import ErrorSide
from aggregator.statistics.segments import SegmentLean
from sinks.page.figures import Scale
from sinks.page.formats import points
from sinks.queries.segments import ATTRIBUTES, TAG, SegmentAlignment, Segments

_WORDS: Final = {"annotator": "Annotator", "level": "Level", "judge": "Judge version"}
_SIDES: Final = {ErrorSide.TOO_STRICT: "strict", ErrorSide.TOO_LENIENT: "lenient"}
_UNNAMED: Final = {"annotator": "no name", "judge": "unnamed"}


def opposed(
    divisions: Iterable[Segments], side: Literal[ErrorSide.TOO_STRICT, ErrorSide.TOO_LENIENT]
) -> tuple[str, SegmentAlignment] | None:
    """The tag's name and the largest of its values where a metric errs on a side, and more so than elsewhere.

    Both are as the card states them: by tests of the value's items, and of these against the rest.
    """
    lean = SegmentLean.STRICTER if side is ErrorSide.TOO_STRICT else SegmentLean.MORE_LENIENT
    found = [
        (each["by"].removeprefix(TAG), segment)
        for each in divisions
        for segment in each["segments"]
        if segment["value"] is not None and segment["error_side"] is side and segment["lean"] is lean
    ]
    return max(found, key=lambda each: each[1]["items"], default=None)


def first_division(divisions: Sequence[Segments]) -> str | None:
    """What divides the comparisons best: the tag with the surest difference; None where no test finds one."""
    sure = [
        (min(p for p in map(_p_value, telling) if p is not None), place)
        for place, each in enumerate(divisions)
        if (telling := [segment for segment in each["segments"] if segment["differs"] or _leaning(segment)])
    ]
    return divisions[min(sure)[1]]["by"] if sure else None


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment in the table."""

    segment: SegmentAlignment
    name: str
    tone: str
    """Class of the style sheet."""
    words: str
    """Whether the segment differs from the rest."""
    p_value: float | None
    """The smallest adjusted p-value of what the words state; None where nothing is tested."""
    href: str | None
    """The address of its items; None where no filter finds them."""


@dataclass(frozen=True, slots=True)
class SegmentsCard:
    """The card."""

    answer: Segments
    head: str
    """What divides the comparisons."""
    choices: list[tuple[str, str]]
    """Other divisions: value of the form and name."""
    rows: list[SegmentRow]
    scale: Scale


def segments_card(answer: Segments, items: Callable[..., str], *, show_annotators: bool) -> SegmentsCard:
    """The card of an answer; `items` returns the address of items, given parameters of the page of items."""
    by, divisions = answer["by"], [name for name in ATTRIBUTES if name != "annotator" or show_annotators]
    choices = {f"{TAG}{name}": f"Tag {name}" for name in answer["tags"]} | {name: _WORDS[name] for name in divisions}
    head = _WORDS.get(by, by.removeprefix(TAG))
    return SegmentsCard(
        answer=answer,
        head=head,
        choices=list({**choices, by: choices.get(by, f"Tag {head}")}.items()),
        rows=[_row(segment, answer, items) for segment in answer["segments"]],
        scale=Scale.of([segment["alignment_low"] for segment in answer["segments"]]),
    )


def _row(segment: SegmentAlignment, answer: Segments, items: Callable[..., str]) -> SegmentRow:
    by, value = answer["by"], segment["value"]
    chosen = {"tag": f"{by.removeprefix(TAG)}:{value}"} if by.startswith(TAG) else {by: value}
    tone, words = _difference(segment)
    return SegmentRow(
        segment=segment,
        name=value if value is not None else _UNNAMED.get(by, "not tagged"),
        tone=tone,
        words=words,
        p_value=_p_value(segment),
        href=None if value is None else items(metric=answer["metric"], outcome="fp,fn", **chosen),
    )


def _difference(segment: SegmentAlignment) -> tuple[str, str]:
    rest = segment["rest_alignment"]
    if rest is None or segment["undefined"].get("p_value") is Undefined.NO_REST:
        return "undecided", "Nothing to compare with"
    if segment["p_value"] is None:
        return "undecided", "Too few items"
    leaning = _leaning(segment)
    if not segment["differs"]:
        return ("probation", leaning) if leaning else ("undecided", "No clear difference")
    difference = segment["alignment"] - rest
    tone, side = ("untrusted", "Worse") if difference < 0 else ("trusted", "Better")
    words = f"{side} by {points(abs(difference))[1:]} points"
    return tone, f"{words}, {leaning[0].lower()}{leaning[1:]}" if leaning else words


def _leaning(segment: SegmentAlignment) -> str:
    """Whether the metric is more lenient or stricter in the segment than elsewhere; empty where no test finds it."""
    lean = segment["lean"]
    if lean not in (SegmentLean.MORE_LENIENT, SegmentLean.STRICTER):
        return ""
    here, elsewhere = (_SIDES.get(segment[name]) for name in ("error_side", "rest_error_side"))
    if here is not None and elsewhere is not None and here != elsewhere:
        return f"Too {here} here, too {elsewhere} elsewhere"
    return "More lenient than elsewhere" if lean is SegmentLean.MORE_LENIENT else "Stricter than elsewhere"


def _p_value(segment: SegmentAlignment) -> float | None:
    if segment["differs"] or not _leaning(segment):
        return segment["p_adjusted"]
    return min(p for p in (segment["passes_p_adjusted"], segment["fails_p_adjusted"]) if p is not None)
