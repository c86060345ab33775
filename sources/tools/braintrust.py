"""Braintrust: the spans of a project's logs, with their scores.

Shape: braintrustdata/braintrust-sdk `generated_types.json` (ProjectLogsEvent), and the docs of human review. Each
reviewer has a `review` span below the judged one, which has their mean; a `score` span repeats the score of a judge.
`_xact_id` grows with each write, and `created` never changes.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, field

from sources.meaning import Judgement, Rules
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.shapes import TextTime, read, read_each


class _BraintrustAttributes(Struct):
    type: str | None = None


class _BraintrustSpan(Struct):
    id: str
    created: TextTime
    span_id: str
    root_span_id: str
    version: Annotated[str, Meta(pattern=r"^[0-9]{1,19}$")] = field(name="_xact_id")
    scores: dict[str, float | None] | None = None
    span_parents: list[str] | None = None
    span_attributes: _BraintrustAttributes | None = None


class _BraintrustPage(Struct):
    events: list[Raw]


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The scores of the spans of an answer."""
    spans = read(document, _BraintrustPage).events
    for raw, span in zip(spans, read_each(spans, _BraintrustSpan), strict=True):
        if isinstance(span, SourceRecord):
            yield span
        else:
            results = tuple(_results(span, rules))
            yield SourceRecord(span.id, results, span.created.ms, int(span.version), original=raw)


def _results(span: _BraintrustSpan, rules: Rules) -> Iterator[Result]:
    scores = {name: score for name, score in (span.scores or {}).items() if score is not None}
    kind = span.span_attributes and span.span_attributes.type
    if kind == "score":
        if scores:
            yield Skip(SkipReason.REPEATED, "a `score` span; the span that it judges has the score")
        return
    for name, score in scores.items():
        yield _review(span, name, score, rules) if kind == "review" else _verdict(span, name, score, rules)


def _review(span: _BraintrustSpan, name: str, score: float, rules: Rules) -> Result:
    """The rating of a person. The span does not name the person; its id keeps several of them apart."""
    judged = (span.span_parents or [span.span_id])[0]
    return rules.annotation(_judgement(span, judged, name, score, rules, author=span.span_id))


def _verdict(span: _BraintrustSpan, name: str, score: float, rules: Rules) -> Result:
    role = rules.role(name)
    if role == "human":
        return Skip(SkipReason.AGGREGATE, f"the mean of {name!r} over its reviewers")
    if isinstance(role, Skip):
        return role
    return rules.evaluation(_judgement(span, span.span_id, name, score, rules))


def _judgement(span: _BraintrustSpan, judged: str, name: str, score: float, rules: Rules, **who: Any) -> Judgement:
    if rules.settings.item == "span":
        return Judgement(name=name, item=judged, level="span", value=score, part=name, **who)
    return Judgement(name=name, item=span.root_span_id, value=score, part=name, **who)
