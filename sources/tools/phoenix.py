"""Arize Phoenix: annotations of spans, traces and sessions.

Shape: Arize-ai/phoenix `src/phoenix/server/api/routers/v1/annotations.py`. An annotation is unique by name, target and
`identifier`, which programs set as they like and the web interface derives from the user.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Raw, Struct, field

from aggregator.facts import Level
from sources.meaning import Judgement, Rules
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.rules import Role
from sources.shapes import TextTime, read, read_each

_ROLES: Final[Mapping[str, Role]] = {"HUMAN": "human", "LLM": "judge", "CODE": "judge"}


class _PhoenixResult(Struct):
    label: str | None = None
    score: float | None = None
    explanation: str | None = None


class _PhoenixAnnotation(Struct):
    id: str
    name: str
    annotator_kind: str
    updated_at: TextTime
    result: _PhoenixResult | None = field(default_factory=_PhoenixResult)
    user_id: str | None = None
    identifier: str | None = None
    span_id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None


class _PhoenixPage(Struct):
    data: list[Raw]


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The annotations of an answer."""
    listed = read(document, _PhoenixPage).data
    for raw, annotation in zip(listed, read_each(listed, _PhoenixAnnotation), strict=True):
        if isinstance(annotation, SourceRecord):
            yield annotation
        else:
            result = _result(annotation, rules)
            yield SourceRecord(annotation.id, (result,), annotation.updated_at.ms, original=raw)


def _result(annotation: _PhoenixAnnotation, rules: Rules) -> Result:
    result = annotation.result or _PhoenixResult()
    is_person = annotation.annotator_kind == "HUMAN"
    if annotation.name == "note" or (is_person and result.label is None and result.score is None):
        return Skip(SkipReason.TEXT, annotation.name)
    item, level = _target(annotation)
    said = Judgement(
        name=annotation.name,
        item=item,
        level=level,
        value=result.score,
        label=result.label,
        comment=result.explanation,
        author=annotation.user_id or annotation.identifier,
        judge=annotation.identifier,
    )
    return rules.judgement(said, annotation.annotator_kind, _ROLES)


def _target(annotation: _PhoenixAnnotation) -> tuple[str | None, Level]:
    """The item and its level. An annotation has one of three ids."""
    if annotation.span_id:
        return annotation.span_id, "span"
    return (annotation.trace_id, "trace") if annotation.trace_id else (annotation.session_id, "thread")
