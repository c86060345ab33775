"""Names that are different for the counts and alike for a reader: they are hinted at, never merged."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from aggregator.facts import MAX_NAME
from aggregator.snapshot.schema import SnapshotDocument

_LONGEST_COMPOSED: Final = 4
"""Most characters that NFC makes one."""
_BETWEEN: Final = re.compile(r"[\s_-]+")


class AlikeNames(NamedTuple):
    """Names of one kind that look alike."""

    kind: str
    """What they name, in plural."""
    names: list[str]
    """Two or more, sorted."""


def in_nfc(name: str, longest: int = MAX_NAME) -> str:
    """A name in NFC. What is longer than any name of `longest` characters is returned as it is."""
    # The time to normalise a text of many combining characters grows with the square of their number.
    return unicodedata.normalize("NFC", name) if len(name) <= longest * _LONGEST_COMPOSED else name


def printable(text: str) -> str:
    r"""The text with control characters and bidirectional marks escaped, so that it cannot drive the terminal.

    >>> printable("a\x1b[31m\u202eb\nc")
    'a\\x1b[31m\\u202eb\\nc'
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of different names that differ only in case, blanks, `-`, `_` and invisible characters, each sorted.

    >>> alike(["Tone", "tone ", "tone", "truth"])
    [['Tone', 'tone', 'tone ']]
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[_looks(name)].add(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def _looks(name: str) -> str:
    """The part of a name that a reader sees."""
    visible = "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")
    return _BETWEEN.sub(" ", visible.casefold()).strip()


def alike_in(document: SnapshotDocument) -> Iterator[AlikeNames]:
    """The criteria and metrics of a document that look alike, and the judge versions of one metric that do."""
    criteria = document["criteria"]
    metrics = [metric for criterion in criteria for metric in criterion["metrics"]]
    judges: dict[str, set[str]] = defaultdict(set)
    for metric in metrics:
        judges[metric["metric"]].update(metric["judges"])
    named = {"criteria": [[criterion["criterion"] for criterion in criteria]]}
    named["metrics"] = [[metric["metric"] for metric in metrics]]
    named["judge versions"] = [list(versions) for versions in judges.values()]
    for kind, sets in named.items():
        found = {tuple(group) for names in sets for group in alike(names)}
        yield from (AlikeNames(kind, list(group)) for group in sorted(found))
