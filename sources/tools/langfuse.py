"""Langfuse: scores of API v3 and of the blob storage export, and the items of annotation queues.

Shapes: langfuse/langfuse `fern/apis/server/definition/scores-v3.yml`, `annotation-queues.yml`, and the docs of the blob
storage export. An edit in the web interface moves neither `timestamp` nor `updatedAt`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Raw, Struct

from aggregator.facts import Level
from sources.meaning import Judgement, Rules
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.rules import Role
from sources.shapes import TextTime, read, read_each

_ROLES: Final[Mapping[str, Role]] = {"ANNOTATION": "human", "EVAL": "judge"}
"""`API` is used by judges and by end users alike."""
_LEVELS: Final[Mapping[str, Level]] = {"trace": "trace", "observation": "span", "session": "thread"}


class _LangfuseSubject(Struct):
    kind: str
    id: str


class _LangfuseScore(Struct, rename="camel"):
    id: str
    name: str
    value: bool | float | str | None
    data_type: str
    source: str
    updated_at: TextTime
    subject: _LangfuseSubject
    comment: str | None = None
    author_user_id: str | None = None
    queue_id: str | None = None


class _LangfuseQueueItem(Struct, rename="camel"):
    id: str
    queue_id: str
    object_id: str
    object_type: str
    created_at: TextTime


class _LangfuseExport(Struct):
    id: str
    name: str
    value: float | None
    data_type: str
    source: str
    updated_at: TextTime
    string_value: str | None = None
    trace_id: str | None = None
    observation_id: str | None = None
    session_id: str | None = None
    comment: str | None = None
    author_user_id: str | None = None
    queue_id: str | None = None
    evaluator_id: str | None = None


class _LangfusePage(Struct):
    data: list[Raw]


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The scores and queue items of an answer, or the score of a line of an export."""
    page = read(document, _LangfusePage, _LangfuseExport)
    if isinstance(page, _LangfuseExport):
        yield SourceRecord(page.id, (_exported(page, rules),), page.updated_at.ms, original=document)
        return
    for raw, record in zip(page.data, read_each(page.data, _LangfuseScore, _LangfuseQueueItem), strict=True):
        match record:
            case _LangfuseScore():
                yield SourceRecord(record.id, (_score(record, rules),), record.updated_at.ms, original=raw)
            case _LangfuseQueueItem():
                level = _LEVELS.get(record.object_type.lower(), "trace")
                item = rules.queue_item(record.queue_id, record.object_id, level)
                # Completing an item is no event.
                yield SourceRecord(record.id, (item,), record.created_at.ms, original=raw)
            case SourceRecord():
                yield record


def _score(score: _LangfuseScore, rules: Rules) -> Result:
    level = _LEVELS.get(score.subject.kind)
    if level is None:
        return Skip(SkipReason.AGGREGATE, f"a score of {score.subject.kind}")
    if score.data_type in ("TEXT", "CORRECTION"):
        return Skip(SkipReason.TEXT, score.name)
    said = Judgement(
        name=score.name,
        item=score.subject.id,
        level=level,
        value=score.value,
        comment=score.comment,
        author=score.author_user_id,
        queue=score.queue_id,
    )
    return rules.judgement(said, score.source, _ROLES)


def _exported(score: _LangfuseExport, rules: Rules) -> Result:
    levels: Mapping[Level, str | None] = {
        "span": score.observation_id, "trace": score.trace_id, "thread": score.session_id
    }  # fmt: skip
    level = next((level for level, item in levels.items() if item), None)
    if level is None:
        return Skip(SkipReason.AGGREGATE, "a score of an experiment")
    if score.data_type in ("TEXT", "CORRECTION"):
        return Skip(SkipReason.TEXT, score.name)
    boolean = score.data_type == "BOOLEAN"
    said = Judgement(
        name=score.name,
        item=levels[level],
        level=level,
        value=score.value == 1 if boolean else score.value,
        label=None if boolean else score.string_value,
        comment=score.comment,
        author=score.author_user_id,
        judge=score.evaluator_id,
        queue=score.queue_id,
    )
    return rules.judgement(said, score.source, _ROLES)
