"""What may be wrong with the rows of an input: conflicts, late versions, and deletions without a row."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from aggregator.facts import Fact, key, rest

_SHOWN: Final = 3
_VERDICT: Final = b'["e",'
_FAILURE: Final = b'["x",'
"""How the keys of an evaluation's rows begin. A deletion is a verdict, and deletes a failure too."""


@dataclass(slots=True)
class _Places:
    """The number of events of one kind, and the places of the first ones."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, place: str) -> None:
        self.count += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(place)

    def __str__(self) -> str:
        return ", ".join(self.shown) + (", ..." if self.count > len(self.shown) else "")

    def subject(self, one: str, several: str) -> str:
        return f"1 event {one}" if self.count == 1 else f"{self.count} events {several}"


@dataclass(slots=True)
class _Newest:
    """The newest version of a row so far."""

    version: tuple[int, str]
    content: str
    place: str
    deleted_at: str | None
    """Where the first event of the row is, while all of them delete it."""


@dataclass(slots=True)
class RowChecks:
    """Compares each event of an input with the earlier ones of its row.

    A conflict has the time and id of the newest event of its row, and other content; a repeated event is no conflict.
    A late version is older than an earlier event. The merge law decides which version counts, not the order.

    Args:
        reach: number of rows that are remembered; None for all.
    """

    reach: int | None = None
    _rows: OrderedDict[bytes, _Newest] = field(default_factory=OrderedDict)
    _conflicts: _Places = field(default_factory=_Places)
    _late: _Places = field(default_factory=_Places)

    def add(self, fact: Fact, place: str) -> None:
        """Compare an event with the earlier ones. `place` is where it is."""
        row, version, content = key(fact), (fact.at, fact.id), rest(fact)
        known = self._rows.get(row)
        if row.startswith(_FAILURE) and (verdict := self._rows.get(_VERDICT + row[len(_FAILURE) :])) is not None:
            verdict.deleted_at = None
        if known is None:
            fails = row.startswith(_VERDICT) and _FAILURE + row[len(_VERDICT) :] in self._rows
            self._rows[row] = _Newest(version, content, place, place if fact.deleted and not fails else None)
            if self.reach is not None and len(self._rows) > self.reach:
                self._rows.popitem(last=False)
            return
        if not fact.deleted:
            known.deleted_at = None
        if version == known.version:
            if content != known.content:
                self._conflicts.add(f"{known.place} and {place}")
        elif version < known.version:
            self._late.add(f"{place} after {known.place}")
        else:
            known.version, known.content, known.place = version, content, place

    def warnings(self) -> Iterator[str]:
        """A line for each of the three, where there are any."""
        if self._conflicts.count:
            yield (
                f"{self._conflicts.subject('has', 'have')} the `at` and `id` of an earlier event of the same row, and "
                f"other content: {self._conflicts}; the content decides which one counts, not the order: send a "
                "correction with a later `at`"
            )
        if self._late.count:
            yield (
                f"{self._late.subject('is', 'are')} older than an earlier event of the same row: {self._late}; the "
                "newest `at` counts, not the order: send a correction with a later `at`"
            )
        deletions = _Places()
        for row in self._rows.values():
            if row.deleted_at is not None:
                deletions.add(row.deleted_at)
        if deletions.count:
            yield (
                f"{deletions.subject('deletes a row', 'delete rows')} of which the input has no other event: "
                f"{deletions}; that has an effect only if the row exists: queue, item, criterion and annotator of an "
                "annotation, item, metric and judge of an evaluation identify it"
            )
