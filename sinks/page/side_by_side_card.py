"""The card that sets a metric next to another one, or next to another version of itself."""

from dataclasses import dataclass
from typing import Final

from sinks.page.formats import count, p_value, plural
from sinks.page.wording import isolated
from sinks.queries.side_by_side import JudgedBy, JudgeSide, SideBySide

_SIGNIFICANT: Final = 0.05


@dataclass(frozen=True, slots=True)
class Opponent:
    """What the metric can be set next to."""

    value: str
    """Value of the form."""
    name: str
    judge: JudgedBy


@dataclass(frozen=True, slots=True)
class SideBySideCard:
    """The card."""

    answer: SideBySide
    opponents: list[Opponent]
    chosen: Opponent
    words: str
    """Which of the two people agree with more often, if that can be told."""


def opponents(metric: str, metrics: list[str], versions: list[str]) -> list[Opponent]:
    """The other metrics, and the earlier ones of the metric's `versions`, which are in their order."""
    others = [Opponent(f"metric:{name}", name, JudgedBy(name, None)) for name in metrics if name != metric]
    earlier = versions[:-1]
    return others + [
        Opponent(f"judge:{judge}", f"Version {judge or 'unnamed'}", JudgedBy(metric, judge)) for judge in earlier
    ]


def side_by_side_card(answer: SideBySide, choices: list[Opponent], chosen: Opponent) -> SideBySideCard:
    """The card of an answer."""
    return SideBySideCard(
        answer=answer,
        opponents=choices,
        chosen=chosen,
        words=_words(answer),
    )


def _name(side: JudgeSide) -> str:
    metric, judge = isolated(side["metric"]), side["judge"]
    return metric if judge is None else f"{metric}, {isolated(judge) if judge else 'unnamed version'}"


def _words(answer: SideBySide) -> str:
    if answer["p_value"] is None:
        return "No annotated item was judged by both."
    better = answer["first" if answer["first_only"] > answer["second_only"] else "second"]
    told = (
        f"People agree more often with {_name(better)}: this is unlikely to be chance"
        if answer["p_value"] < _SIGNIFICANT
        else "The difference may be chance"
    )
    return (
        f"Of {plural(answer['items'], 'item')} that both judged, people agree only with the first on "
        f"{count(answer['first_only'])} and only with the second on {count(answer['second_only'])}. {told} "
        f"(p {p_value(answer['p_value'])})."
    )
