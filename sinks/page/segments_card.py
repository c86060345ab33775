"""The card of segments: comparisons of one metric by tag, level, judge version or annotator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aggregator.statistics.confusion import Undefined
from sinks.page.figures import Scale
from sinks.page.formats import points
from sinks.queries.segments import ATTRIBUTES, TAG, SegmentAlignment, Segments

_WORDS: Final = {"annotator": "Annotator", "level": "Level", "judge": "Judge version"}
_UNNAMED: Final = {"annotator": "no name", "judge": "unnamed"}


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment in the table."""

    segment: SegmentAlignment
    name: str
    tone: str
    """Class of the style sheet."""
    words: str
    """Whether the segment differs from the rest."""
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
        href=None if value is None else items(metric=answer["metric"], outcome="fp,fn", **chosen),
    )


def _difference(segment: SegmentAlignment) -> tuple[str, str]:
    rest = segment["rest_alignment"]
    if rest is None or segment["undefined"].get("p_value") is Undefined.NO_REST:
        return "undecided", "Nothing to compare with"
    if segment["p_value"] is None:
        return "undecided", "Too few items"
    if not segment["differs"]:
        return "undecided", "No clear difference"
    difference = segment["alignment"] - rest
    side = "Worse" if difference < 0 else "Better"
    return "untrusted" if difference < 0 else "trusted", f"{side} by {points(abs(difference))[1:]} points"
