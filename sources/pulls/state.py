"""What a source remembers of its pulls from one process to the next. Times are milliseconds."""

from typing import Any

import msgspec

from sources.intake.store import StoredIndex

_NAME = "pulls"


class UnfinishedReading(msgspec.Struct, omit_defaults=True):
    """A reading of a stream that takes several pulls."""

    started: int
    """Beginning of its first pull."""
    since: int | None
    """Listing time from which records are read; None: all."""
    sweep: bool
    """Whether vanished records are looked for."""
    settings: str
    """Digest of the settings of the source: with others the reading begins again."""
    bookmark: Any = None
    """Where the stream goes on; None: at its start."""
    again: bool = False
    """Whether everything has been read once, and is read again to see whether what is missing was only hidden."""
    records: int = 0
    """Records of the earlier pulls."""
    unreadable: int = 0
    """Records of the earlier pulls that could not be read."""
    took_ms: int = 0
    """How long the earlier pulls took."""

    def serves(self, *, full: bool) -> bool:
        """Whether a pull goes on with it: one that is to read everything needs a reading of everything."""
        return not full or (self.sweep and self.since is None)


class StreamState(msgspec.Struct, omit_defaults=True):
    """What is known of one stream."""

    cursor: int | None = None
    """Up to here everything that was listed has been read; None: nothing was read to its end yet."""
    swept: int | None = None
    """Beginning of the last sweep, a reading that finds what vanished."""
    sweep_ms: int = 0
    """How long it took."""
    unfinished: UnfinishedReading | None = None
    """The reading that the next pull goes on with; None: it begins one."""
    empty: bool = False
    """Whether a full reading was empty, although records are known, and no record has been read since."""


class PullState(msgspec.Struct, omit_defaults=True):
    """How the pulls of a source went. What its records became is in the totals of the index."""

    attempted: int | None = None
    """Beginning of the last pull."""
    succeeded: int | None = None
    """Beginning of the last pull without an error."""
    error: str | None = None
    """Why the last pull failed; None if it did not."""
    streams: dict[str, StreamState] = {}
    """By name of the stream."""


def load(index: StoredIndex) -> PullState:
    """The state of the source of an index; an empty one before its first pull."""
    kept = index.state(_NAME)
    with index.store.decoded():
        return PullState() if kept is None else msgspec.convert(kept, PullState)


def keep(index: StoredIndex, state: PullState) -> None:
    """Remember a state, after everything that was taken before."""
    index.keep(_NAME, state)
