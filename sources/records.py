"""What a mapper returns for each record of a tool: events without id and time, skips, or rejections.

The id and the time of an event follow from the record (`sources.source`), so that the same version of a record becomes
the same event however often it arrives.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple, final

from streams.events.cloudevents import Headers
from streams.events.wire import WireEvent
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

LONGEST_ID: Final = 256
"""Most characters of the id of a record that are kept."""
_DIGEST_BYTES: Final = 16


class SkipReason(StrEnum):
    """Why a record, or a part of it, becomes no event. It is counted, and is no error."""

    ROLE_UNKNOWN = "role_unknown"
    NO_RULE = "no_rule"
    LABEL_UNMAPPED = "label_unmapped"
    OFF_SCALE = "off_scale"
    NO_ITEM = "no_item"
    NO_QUEUE = "no_queue"
    NOT_OWNED = "not_owned"
    TEXT = "text"
    NOT_SUBMITTED = "not_submitted"
    PAIRWISE = "pairwise"
    EXPECTATION = "expectation"
    AGGREGATE = "aggregate"
    REPEATED = "repeated"
    NOT_RUN = "not_run"
    TRIGGER = "trigger"
    NOT_AN_EVALUATION = "not_an_evaluation"
    OLDER = "older"
    FIELD_REFUSED = "field_refused"
    """A tag or an address that events may not have. The event is sent without it."""


class UnknownShapeError(EvalAlignmentError):
    """A payload is none of the tool's; the message has the JSON path, and no value of the payload."""

    exit_code = ExitCode.FAILED


@final
@dataclass(frozen=True, slots=True)
class Said:
    """An event that is true of a record now."""

    event: WireEvent
    """Without id and time."""
    part: str = ""
    """Distinguishes events of one record in their ids."""


@final
@dataclass(frozen=True, slots=True)
class OwnEvent:
    """An event of the product's own contract, with an id and a time of its own."""

    value: bytes
    headers: Headers = ()
    """Those that make it a CloudEvent."""


class UnruledName(NamedTuple):
    """A tool's name of what is judged, with a value that no rule reads."""

    role: Literal["human", "judge", ""]
    """Who judges; empty if that is not known either."""
    name: str
    value: str = ""
    """The score or label as text; empty without one."""


@final
@dataclass(frozen=True, slots=True)
class Skip:
    """A part of a record that becomes no event."""

    reason: SkipReason
    why: str = ""
    """What to configure, or what the part is; without values of free text."""
    unruled: UnruledName | None = None
    """What a rule would be for."""


@final
@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that is not of the tool's shape, in a payload that is."""

    why: str
    value: bytes = field(default=b"", repr=False, compare=False)
    """The record as it came, where it is JSON."""


Result = Said | OwnEvent | Skip | Malformed


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of a tool, by the tool's own id.

    A record states all that is true of it: what an earlier version stated and this one does not is taken back.
    """

    native: str
    """The tool's id of the record, or its natural key. Ids of events begin with it."""
    results: tuple[Result, ...] = ()
    """In the order of the payload."""
    at: int | None = None
    """Time of its last change in milliseconds; None where the record has none."""
    version: int | None = None
    """The tool's own version, which orders the versions of this record; None: `at`."""
    original: Any = field(default=None, repr=False)
    """The record as it came, for the paths of the settings: JSON, or a row by column."""
    deleted: bool = False
    """Whether the tool reports that the record was deleted; such a record has no results."""


def bounded_id(native: str) -> str:
    """The id of a record, or its digest if it is long: a tool decides how long ids are, and each row is kept with one.

    >>> bounded_id("a"), bounded_id(257 * "a")
    ('a', 'blake2b:29e452ed1a672b027a1cd3f5ac4849c6')
    """
    if len(native) <= LONGEST_ID:
        return native
    # Ids of tools may have half of a surrogate pair.
    return f"blake2b:{blake2b(native.encode(errors='surrogatepass'), digest_size=_DIGEST_BYTES).hexdigest()}"
