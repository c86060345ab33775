"""How each source went, as its index has it: for `source ls`."""

from typing import TypedDict

from aggregator.days import timestamp
from eval_alignment.input_checks import now_ms
from sources.intake.intake import EVENTS, REJECTED
from sources.intake.store import IndexStore
from sources.pulls import state as pulls
from sources.source import ToolSource


class SourceStatus(TypedDict):
    """One source. Times are RFC 3339; None for what has not happened."""

    source: str
    tool: str
    last_success: str | None
    """Beginning of the last pull without an error, or the last payload that came."""
    lag_s: float | None
    """Seconds since then."""
    cursors: dict[str, str | None]
    """Up to where each stream of a pulled tool was read."""
    records: int
    """Records that are remembered."""
    events: int
    skipped: dict[str, int]
    """By reason."""
    rejected: int
    error: str | None
    """Why the last pull failed."""


def source_status(name: str, source: ToolSource, store: IndexStore | None) -> SourceStatus:
    """The status of a source. `store`: None before the first payload of any source."""
    index = None if store is None else store.index(source.rules.settings.prefix)
    pulled = pulls.PullState() if index is None else pulls.load(index)
    totals = {} if index is None else dict(index.totals())
    events, rejected = totals.pop(EVENTS, 0), totals.pop(REJECTED, 0)
    success = max(pulled.succeeded or -1, -1 if index is None else index.taken_at())
    return SourceStatus(
        source=name,
        tool=source.tool.title,
        last_success=None if success < 0 else timestamp(success),
        lag_s=None if success < 0 else max(0, now_ms() - success) / 1000,
        cursors={
            stream: None if state.cursor is None else timestamp(state.cursor)
            for stream, state in pulled.streams.items()
        },
        records=0 if index is None else index.size(),
        events=events,
        skipped=totals,
        rejected=rejected,
        error=pulled.error,
    )
