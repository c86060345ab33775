"""The note that newer verdicts replaced those of the judge version that the reader chose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aggregator.snapshot.schema import CriterionDocument
from sinks.page.formats import count, plural
from sinks.page.wording import isolated

_LISTED: Final = 3
"""Most versions in the sentence."""


@dataclass(frozen=True, slots=True)
class SupersededNote:
    """The note."""

    text: str
    href: str
    """The address of the comparison of the versions."""


def superseded_note(
    criterion: CriterionDocument, judge: str, successors: Sequence[tuple[str, str, int]], href: Callable[..., str]
) -> SupersededNote | None:
    """The note; None where all verdicts of the version are current, or nobody annotated its items.

    Args:
        criterion: counts of the version.
        judge: name of the version.
        successors: versions with newer verdicts on its items, each with a metric, the most items first.
        href: returns the address of the page with changes.
    """
    versions = [metric["judges"][judge] for metric in criterion["metrics"] if judge in metric["judges"]]
    replaced = sum(version["superseded"] for version in versions)
    if not replaced or not successors:
        return None
    total = sum(version["tp"] + version["fn"] + version["tn"] + version["fp"] for version in versions)
    names = list(dict.fromkeys(name for name, _, _ in successors))
    listed = ", ".join(isolated(name) if name else "a version without a name" for name in names[:_LISTED])
    more = f" and {count(len(names) - _LISTED)} more" if len(names) > _LISTED else ""
    which = f"{count(replaced)} of the" if replaced < total else "The" if total == 1 else "All"
    verb, items = ("is", "its item") if replaced == 1 else ("are", "their items")
    newest = "an item counts for the version that judged it last"
    changes: Mapping[str, str | None] = {"judge": None, "depth": successors[0][1], "with": f"judge:{judge}"}
    return SupersededNote(
        f"{which} {plural(total, 'comparison')} of {isolated(judge)} {verb} not counted here: "
        f"{listed}{more} judged {items} again, and {newest}.",
        f"{href(**changes)}#side-by-side",
    )
