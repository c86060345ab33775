"""DeepEval: the file of a test run. Confident AI: the annotations that its SDK posts.

Shapes: confident-ai/deepeval `deepeval/test_run/api.py`, `deepeval/tracing/api.py`, `deepeval/annotation/api.py`. A
trace repeats the metrics of its test case. Neither has ids, so the natural key is the id.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct

from aggregator.facts import Direction, Level
from sources.meaning import Judgement, Rules
from sources.records import Skip, SkipReason, SourceRecord
from sources.rules import RatingScale
from sources.shapes import TextTime, at_path, read

_SCALES: Final[Mapping[str, RatingScale]] = {"FIVE_STAR_RATING": "stars", "THUMBS_RATING": "thumbs"}


class _DeepevalMetric(Struct, rename="camel"):
    name: str
    threshold: float | None = None
    success: bool | None = None
    score: float | None = None
    reason: str | None = None
    evaluation_model: str | None = None
    error: str | None = None


class _DeepevalSpan(Struct, rename="camel"):
    uuid: str
    end_time: TextTime | None = None
    metrics_data: list[_DeepevalMetric] | None = None


class _DeepevalTrace(_DeepevalSpan, rename="camel"):
    base_spans: list[_DeepevalSpan] | None = None
    agent_spans: list[_DeepevalSpan] | None = None
    llm_spans: list[_DeepevalSpan] | None = None
    retriever_spans: list[_DeepevalSpan] | None = None
    tool_spans: list[_DeepevalSpan] | None = None

    def spans(self) -> Iterator[_DeepevalSpan]:
        """The spans of all types."""
        for spans in (self.base_spans, self.agent_spans, self.llm_spans, self.retriever_spans, self.tool_spans):
            yield from spans or ()


class _DeepevalCase(Struct, rename="camel"):
    metrics_data: list[_DeepevalMetric] | None = None
    trace: _DeepevalTrace | None = None

    def metrics(self) -> Iterator[_DeepevalMetric]:
        """The metrics of the case, its trace and its spans."""
        yield from self.metrics_data or ()
        if self.trace is not None:
            for judged in (self.trace, *self.trace.spans()):
                yield from judged.metrics_data or ()


class _DeepevalRun(Struct, rename="camel"):
    test_cases: list[_DeepevalCase]
    conversational_test_cases: list[_DeepevalCase] = []

    def cases(self) -> Iterator[_DeepevalCase]:
        """The test cases of both kinds."""
        yield from self.test_cases
        yield from self.conversational_test_cases


class _ConfidentAnnotation(Struct, rename="camel"):
    rating: float
    type: str | None = None
    trace_uuid: str | None = None
    span_uuid: str | None = None
    thread_id: str | None = None
    explanation: str | None = None
    expected_output: str | None = None
    expected_outcome: str | None = None
    user_id: str | None = None


class _Subject(NamedTuple):
    """What metrics judged: a test case, a span or a conversation."""

    item: str | None
    level: Level
    original: Any
    """The test case or span."""
    end_time: TextTime | None = None


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The results of the metrics of a test run."""
    run, settings = read(document, _DeepevalRun), rules.settings
    plain: Mapping[str, Any] = read(document, dict)
    lower = _lower_passes(metric for case in run.cases() for metric in case.metrics())
    for case, fields in zip(run.test_cases, plain["testCases"], strict=True):
        yield from _case(case, fields, lower, rules)
    for case, fields in zip(run.conversational_test_cases, plain.get("conversationalTestCases", ()), strict=True):
        judged = _Subject(at_path(fields, settings.thread), "thread", fields)
        yield from _metrics(case.metrics_data, judged, lower, rules)


def _lower_passes(metrics: Iterable[_DeepevalMetric]) -> frozenset[str]:
    """The names of metrics whose verdicts show that low scores pass.

    The name alone does not show it: low scores of `Bias` passed once, and fail in DeepEval 4.
    """
    shown: defaultdict[str, set[Direction]] = defaultdict(set)
    for metric in metrics:
        if metric.error is not None or metric.success is None or metric.score is None or metric.threshold is None:
            continue
        if metric.score != metric.threshold:
            is_higher = metric.success == (metric.score > metric.threshold)
            shown[metric.name].add("higher" if is_higher else "lower")
    return frozenset(name for name, directions in shown.items() if directions == {"lower"})


def _case(case: _DeepevalCase, fields: Any, lower: frozenset[str], rules: Rules) -> Iterator[SourceRecord]:
    trace, item = case.trace, at_path(fields, rules.settings.item)
    if trace is None:
        yield from _metrics(case.metrics_data, _Subject(item, "trace", fields), lower, rules)
        return
    judged = _Subject(item or trace.uuid, "trace", fields, trace.end_time)
    yield from _metrics(case.metrics_data, judged, lower, rules)
    originals = _spans(fields["trace"])
    for span in trace.spans():
        subject = _Subject(span.uuid, "span", originals[span.uuid], span.end_time or trace.end_time)
        yield from _metrics(span.metrics_data, subject, lower, rules)
    names = {metric.name for metric in case.metrics_data or ()}
    for metric in trace.metrics_data or ():
        if metric.name not in names:
            yield from _metrics([metric], judged, lower, rules)
        else:
            repeated = Skip(SkipReason.REPEATED, "the trace repeats the metric of its test case")
            yield SourceRecord(f"{judged.item}/{metric.name}", (repeated,))


def _spans(trace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spans of a trace by their ids."""
    lists = (trace.get(name) for name in _DeepevalTrace.__struct_encode_fields__ if name.endswith("Spans"))
    return {span["uuid"]: span for spans in lists for span in spans or ()}


def _metrics(
    metrics: list[_DeepevalMetric] | None, judged: _Subject, lower: frozenset[str], rules: Rules
) -> Iterator[SourceRecord]:
    for metric in metrics or ():
        said = Judgement(
            name=metric.name,
            item=judged.item,
            level=judged.level,
            value=metric.score,
            passed=metric.success,
            threshold=metric.threshold,
            direction="lower" if metric.name in lower else None,
            error=metric.error,
            comment=metric.reason,
            judge=metric.evaluation_model,
        )
        yield SourceRecord(
            f"{judged.item}/{metric.name}",
            (rules.evaluation(said),),
            judged.end_time.ms if judged.end_time else None,
            original=judged.original,
        )


def annotations(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The annotation that a request of the SDK has."""
    body = read(document, _ConfidentAnnotation)
    items: Mapping[Level, str | None] = {"trace": body.trace_uuid, "span": body.span_uuid, "thread": body.thread_id}
    levels = [level for level, item in items.items() if item]
    level: Level = levels[0] if levels else "trace"
    said = Judgement(
        item=items[level],
        level=level,
        value=body.rating,
        scale=_SCALES.get(body.type or ""),
        comment=body.explanation,
        author=body.user_id,
        expected=body.expected_output or body.expected_outcome,
    )
    yield SourceRecord(f"{items[level]}/{body.user_id or ''}", (rules.annotation(said),), original=document)
