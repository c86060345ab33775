"""promptfoo: the file of `promptfoo eval -o results.json`, which has verdicts and ratings in one.

Shape: promptfoo/promptfoo `src/types/index.ts`. A rating in the web interface is one more component, of the type
`human`, and overwrites success and score of the result, so only components are read.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from sources.meaning import Judgement, Rules
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.shapes import TextTime, at_path, read, read_each


class _PromptfooAssertion(Struct):
    type: str
    metric: str | None = None
    threshold: float | None = None
    provider: Any = None


class _PromptfooFlags(Struct, rename="camel"):
    grader_error: Any = None


class _PromptfooComponent(Struct, rename={"passed": "pass"}):
    passed: bool
    score: float | None = None
    reason: str | None = None
    comment: str | None = None
    assertion: _PromptfooAssertion | None = None
    metadata: _PromptfooFlags | None = None


class _PromptfooGrading(Struct, rename="camel"):
    component_results: list[Raw] | None = None


class _PromptfooResult(Struct, rename="camel"):
    id: str | None = None
    test_idx: int = 0
    prompt_idx: int = 0
    grading_result: _PromptfooGrading | None = None


class _PromptfooResults(Struct):
    timestamp: TextTime
    results: list[Raw]


class _PromptfooExport(Struct, rename="camel"):
    exported_at: TextTime | None = None


class _PromptfooFile(Struct, rename="camel"):
    results: _PromptfooResults
    eval_id: str | None = None
    metadata: _PromptfooExport | None = field(default_factory=_PromptfooExport)


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The components of all results: verdicts at the time of the evaluation, ratings at that of the export."""
    file = read(document, _PromptfooFile)
    evaluated = file.results.timestamp
    exported = (file.metadata and file.metadata.exported_at) or evaluated
    results = file.results.results
    for raw, result in zip(results, read_each(results, _PromptfooResult), strict=True):
        if isinstance(result, SourceRecord):
            yield result
            continue
        native = result.id or f"{file.eval_id or ''}/{result.test_idx}/{result.prompt_idx}"
        if result.grading_result is None:
            yield SourceRecord(native, (Skip(SkipReason.NOT_RUN, "no grading"),), evaluated.ms)
            continue
        path = rules.settings.item
        item = at_path(msgspec.json.decode(raw), path) if path else native
        seen: set[str] = set()
        for component in read_each(result.grading_result.component_results or (), _PromptfooComponent):
            if isinstance(component, SourceRecord):
                yield component
                continue
            is_rating = component.assertion is not None and component.assertion.type == "human"
            at = exported if is_rating else evaluated
            yield SourceRecord(native, (_component(component, item, seen, rules),), at.ms)


def _component(component: _PromptfooComponent, item: str | None, seen: set[str], rules: Rules) -> Result:
    """The rating or verdict of a component. `seen` are the names of those before it."""
    assertion = component.assertion
    if assertion is None or assertion.type == "assert-set":
        return Skip(SkipReason.AGGREGATE, "a set of assertions")
    name = assertion.metric or assertion.type
    if name in seen:
        return Skip(SkipReason.REPEATED, f"two assertions are named {name!r}: set `metric` of each")
    seen.add(name)
    if assertion.type == "human":
        return rules.annotation(Judgement(item=item, passed=component.passed, comment=component.comment, part="human"))
    provider = assertion.provider
    failed = component.metadata is not None and component.metadata.grader_error is True
    return rules.evaluation(
        Judgement(
            name=name,
            item=item,
            value=component.score,
            passed=component.passed,
            threshold=assertion.threshold,
            error=(component.reason or "") if failed else None,
            comment=component.reason,
            judge=provider if isinstance(provider, str) else at_path(provider, "id"),
            part=name,
        )
    )
