"""Opik: feedback scores of traces, spans and threads.

Shapes: comet-ml/opik `sdks/python/src/opik/rest_api/types/{feedback_score_public,value_entry_public,trace_public}.py`.
The value of a score is the mean over its authors, people and judges alike, so only the value of each author is read.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Raw, Struct

from aggregator.facts import Level
from sources.meaning import Judgement, Rules
from sources.records import Skip, SkipReason, SourceRecord
from sources.rules import Role
from sources.shapes import TextTime, read, read_each

_ROLES: Final[Mapping[str, Role]] = {"ui": "human", "online_scoring": "judge"}
"""`sdk` is used by judges and by end users alike."""


class _OpikEntry(Struct):
    last_updated_at: TextTime
    value: float | None = None
    reason: str | None = None
    category_name: str | None = None
    source: str | None = None
    source_queue_id: str | None = None
    evaluator_revision: str | None = None


class _OpikScore(Struct):
    name: str
    value_by_author: dict[str, Raw] | None = None


class _OpikTrace(Struct):
    id: str
    feedback_scores: list[Raw] | None = None
    trace_id: str | None = None
    """Only spans have it."""
    thread_model_id: str | None = None
    """Only threads have it."""

    @property
    def level(self) -> Level:
        if self.thread_model_id is not None:
            return "thread"
        return "trace" if self.trace_id is None else "span"


class _OpikPage(Struct):
    content: list[Raw]


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The values of all authors in an answer."""
    listed = read(document, _OpikPage).content
    for raw, trace in zip(listed, read_each(listed, _OpikTrace), strict=True):
        if isinstance(trace, SourceRecord):
            yield trace
            continue
        for score in read_each(trace.feedback_scores or (), _OpikScore):
            if isinstance(score, SourceRecord):
                yield score
            else:
                yield from _score(trace, score, raw, rules)


def _score(trace: _OpikTrace, score: _OpikScore, raw: Raw, rules: Rules) -> Iterator[SourceRecord]:
    native = f"{trace.id}/{score.name}"
    if not score.value_by_author:
        yield SourceRecord(native, (Skip(SkipReason.AGGREGATE, f"{score.name!r} without `value_by_author`"),))
        return
    entries = read_each(score.value_by_author.values(), _OpikEntry)
    for author, entry in zip(score.value_by_author, entries, strict=True):
        if isinstance(entry, SourceRecord):
            yield entry
            continue
        said = Judgement(
            name=score.name,
            item=trace.id,
            level=trace.level,
            value=entry.value,
            label=entry.category_name or None,
            comment=entry.reason,
            author=author,
            judge=entry.evaluator_revision,
            queue=entry.source_queue_id,
        )
        result = rules.judgement(said, entry.source, _ROLES)
        yield SourceRecord(f"{native}/{author}", (result,), entry.last_updated_at.ms, original=raw)
