"""Where a source partition starts: at the lower of the committed offset and the position that its tallies carry.

A checkpoint publishes the position of each source in its marker before the group commits it, and its rows are in the
ledger by then. So everything below the position of the last marker is counted, whichever the group has. A committed
offset may be anything: an operator may have reset the group in any direction, or deleted it.

This module is pure.
"""

from dataclasses import dataclass

from aggregator.tallies import SourcePosition


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about one source partition before it is processed."""

    committed: int | None
    """The group's committed offset; None without one."""
    tallied: SourcePosition | None
    """The source's entry in the last checkpoint marker whose rows are in the ledger; None without one."""
    oldest: int
    """The oldest offset that is left in the topic."""
    end: int | None
    """The end offset; None where the broker does not report it exactly."""
    topic_id: str | None = None
    """The topic's id, which changes when a topic is deleted and created again; None where the broker has none."""
    marked: bool = True
    """Whether the tallies have a marker of this ledger, of any source."""
    rows: bool = True
    """Whether the ledger has rows."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to start."""

    offset: int
    lost: str = ""
    """What is lost, for the log; empty where nothing is. `offset` is then that of the oldest event that is left."""
    note: str = ""
    """Why it is not the committed offset, for the log; empty where it is, or where there is nothing to report."""
    counted: int = 0
    """Events below it are counted already: where the topic no longer has them, nothing is lost."""
    beyond: bool = False
    """Whether the tallies carry a position beyond the end of the topic."""


def start_of(known: Known) -> Start:
    """Return where a source partition starts, so that no event is passed over."""
    tallied, topic_id = known.tallied, known.topic_id
    if tallied is None:
        return _start_without_tallies(known)
    recorded = tallied.get("topic_id")
    position = tallied["position"]
    if topic_id is not None and recorded is not None and topic_id != recorded:
        return _start_of_new_topic(known, tallied, recorded)
    if not _is_left(position, known):
        beyond = known.end is not None and position > known.end
        return Start(known.oldest, lost=f"the tallies carry position {position}, {_left(known)}", beyond=beyond)
    if known.committed is not None:
        return _lower(position, known.committed, known)
    if topic_id is None or recorded is None:
        # The broker drops the committed offsets of a topic that is deleted: the position may be that of an older topic
        # of this name. What is processed twice is counted once.
        return Start(known.oldest)
    return Start(position, note=f"has no committed offset: starts at {position}, the position that its tallies carry")


def seen_is_left(seen: int, known: Known) -> bool:
    """Whether an open circuit breaker saw the events before offset `seen` in the topic that there is now.

    The offset is of the marker that has the source's position. What it saw in a topic that was deleted and created
    again, or cut off, is no consent to reject the events that have these offsets now.
    """
    if known.tallied is None or (known.end is not None and seen > known.end):
        return False
    recorded = known.tallied.get("topic_id")
    return known.topic_id is None or recorded is None or recorded == known.topic_id


def _lower(position: int, committed: int, known: Known) -> Start:
    if position < committed:
        return Start(
            position,
            note=(
                f"starts at {position}, the position that its tallies carry, below the committed offset {committed}: "
                "the group's offsets were moved past events that are not counted"
            ),
        )
    # Everything below the position is counted: a commit that is older than the topic's records loses nothing.
    return Start(max(committed, known.oldest), counted=position)


def _start_without_tallies(known: Known) -> Start:
    if not known.marked and not known.rows:
        # A marker is written before the first row: no event was ever counted, whichever offset the group has.
        return Start(known.oldest)
    if known.committed is None:
        if not known.marked and known.oldest > 0:
            return Start(known.oldest, lost=f"neither a committed offset nor a position in its tallies, {_left(known)}")
        return Start(known.oldest)
    if not _is_left(known.committed, known):
        return Start(known.oldest, lost=f"committed {known.committed}, {_left(known)}")
    return Start(known.committed)


def _start_of_new_topic(known: Known, tallied: SourcePosition, recorded: str) -> Start:
    what = f"the topic was deleted and created again (id {recorded}, now {known.topic_id})"
    position, end = tallied["position"], tallied["end"]
    if position < end:
        return Start(known.oldest, lost=f"{what}, when {end - position} of its events were not processed")
    return Start(known.oldest, note=f"{what}: starts at its oldest event, offset {known.oldest}")


def _is_left(position: int, known: Known) -> bool:
    return known.oldest <= position and (known.end is None or position <= known.end)


def _left(known: Known) -> str:
    return f"left are {known.oldest} to {'?' if known.end is None else known.end}"
