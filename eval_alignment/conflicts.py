"""Conflicts in an input: events with the same identity, time and id, and different content."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from aggregator.facts import Fact, key, rest

_SHOWN: Final = 3


@dataclass(slots=True)
class Conflicts:
    """Finds events whose time and id an earlier event of the same row has, with other content.

    An event that arrives twice is no conflict.

    Args:
        reach: number of earlier events that an event is compared with; None for all.
    """

    reach: int | None = None
    _first: OrderedDict[tuple[bytes, int, str], tuple[str, str]] = field(default_factory=OrderedDict)
    """Content and place of the first event, by identity, time and id."""
    _count: int = 0
    _shown: list[str] = field(default_factory=list)

    def add(self, fact: Fact, place: str) -> None:
        """Compare an event with the earlier ones. `place` is where it is."""
        content = rest(fact)
        first_content, first_place = self._first.setdefault((key(fact), fact.at, fact.id), (content, place))
        if content != first_content:
            self._count += 1
            if len(self._shown) < _SHOWN:
                self._shown.append(f"{first_place} and {place}")
        elif self.reach is not None and len(self._first) > self.reach:
            self._first.popitem(last=False)

    def warnings(self) -> Iterator[str]:
        """A line about all conflicts, if there are any."""
        if self._count:
            subject = "1 event has" if self._count == 1 else f"{self._count} events have"
            more = ", ..." if self._count > len(self._shown) else ""
            yield (
                f"{subject} the `at` and `id` of an earlier event of the same row, and other content: "
                f"{', '.join(self._shown)}{more}; the content decides which one counts, not the order: send a "
                "correction with a later `at`"
            )
