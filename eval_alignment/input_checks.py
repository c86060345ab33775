"""Checks of the events of an input as a whole, and against a clock."""

import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from eval_alignment.terminal_text import printable
from streams.events import messages
from streams.events.decoder import Kind
from streams.events.reasons import Reason
from streams.events.unknown_fields import nearest_field, unknown_fields

_MAX_NAMES: Final = 20


def now_ms() -> int:
    """This machine's clock in milliseconds since epoch."""
    return time.time_ns() // 1_000_000


def future_warning(count: int, limit: int) -> str:
    """A line about sent events that the workers will reject, because their time is too far ahead.

    >>> future_warning(1, 300_000).split(": ")[1]
    'workers reject it as future_timestamp'
    """
    subject, them = ("1 event is", "it") if count == 1 else (f"{count} events are", "them")
    return (
        f"{subject} more than {messages.duration(limit)} (setting `future_limit_ms`) ahead of this machine's clock: "
        f"workers reject {them} as {Reason.FUTURE_TIMESTAMP.value}"
    )


@dataclass(slots=True)
class UnknownFields:
    """Counts the fields of events that are ignored because no event has them."""

    _counts: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    _others: int = 0
    """Number of unknown fields of events after `_MAX_NAMES` different names."""

    def add(self, kind: Kind, value: bytes) -> None:
        """Count the unknown fields of an event that was decoded; for `Decoder.on_unknown_fields`."""
        for name in unknown_fields(kind, value):
            if (kind, name) in self._counts or len(self._counts) < _MAX_NAMES:
                self._counts[kind, name] += 1
            else:
                self._others += 1

    def warnings(self) -> Iterator[str]:
        """A line for each field, the most frequent first.

        >>> fields = UnknownFields()
        >>> fields.add(Kind.ANNOTATION, b'{"annotater": "p1"}')
        >>> list(fields.warnings())
        ['unknown field `annotater` is ignored in 1 annotation: did you mean `annotator`?']
        """
        for (kind, name), count in self._counts.most_common():
            nearest = nearest_field(kind, name)
            hint = f": did you mean `{nearest}`?" if nearest else ""
            events = f"{count} {kind.value.replace('_', ' ')}{'' if count == 1 else 's'}"
            yield f"unknown field `{printable(name)}` is ignored in {events}{hint}"
        if self._others:
            yield f"fields with other unknown names are ignored {self._others} times"


def missing_side(kinds: Collection[Kind], invalid: int, *, more_inputs: bool = False) -> str | None:
    """What the input lacks for a comparison; None when nothing.

    Args:
        kinds: the kinds of the valid events.
        invalid: number of invalid lines.
        more_inputs: whether the events are compared with those of other inputs too.

    >>> missing_side({Kind.EVALUATION}, invalid=0)
    'no annotations in the input: a comparison needs an annotation and an evaluation of the same item'
    """
    if not kinds:
        if invalid:
            return "no line is an event; for rows with columns of another name, see `check` and `load --columns`"
        return "no events in the input: expected one JSON object per line"
    sides = (Kind.ANNOTATION, Kind.EVALUATION)
    missing = [kind for kind in sides if kind not in kinds]
    if not missing or (more_inputs and len(missing) == len(sides)):
        return None
    listed = " and no ".join(f"{kind.value}s" for kind in missing)
    if more_inputs:
        return f"no {listed} in the input: its events are compared with {listed} of other inputs only"
    return f"no {listed} in the input: a comparison needs an annotation and an evaluation of the same item"
