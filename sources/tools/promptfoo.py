"""promptfoo: the file of `promptfoo eval -o results.json`, which has verdicts and ratings in one.

Shape: promptfoo/promptfoo `src/types/index.ts`. A rating in the web interface is one more component, of the type
`human`, and overwrites success and score of the result, so only components are read. A comment that a person adds to
an earlier rating is only at the result.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from sources.meaning import Judgement, Rules
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.shapes import TextTime, at_path, read, read_each

_GRADED: Final = frozenset({
    "agent-rubric", "answer-relevance", "context-faithfulness", "context-recall", "context-relevance",
    "conversation-relevance", "factuality", "g-eval", "llm-rubric", "model-graded-closedqa",
    "model-graded-factuality", "search-rubric", "trajectory:goal-success",
})  # fmt: skip
"""Assertions that a model judges."""
_HIGHLIGHT: Final = "!highlight"
"""What comments of highlighted results begin with."""


class _PromptfooAssertion(Struct):
    type: str
    metric: str | None = None
    threshold: float | None = None
    weight: float | None = None
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
    comment: str | None = None


class _PromptfooOptions(Struct):
    provider: Any = None


class _PromptfooTest(Struct):
    options: _PromptfooOptions | None = None


class _PromptfooResult(Struct, rename="camel"):
    id: str | None = None
    test_idx: int = 0
    prompt_idx: int = 0
    grading_result: _PromptfooGrading | None = None
    test_case: _PromptfooTest | None = None

    @property
    def grader(self) -> str | None:
        """The provider that grades assertions without one of their own."""
        options = self.test_case and self.test_case.options
        return _provider(options.provider) if options else None


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
        judged = _JudgedOutput(item, result.grader, result.grading_result.comment, set())
        for component in read_each(result.grading_result.component_results or (), _PromptfooComponent):
            if isinstance(component, SourceRecord):
                yield component
                continue
            is_rating = component.assertion is not None and component.assertion.type == "human"
            at = exported if is_rating else evaluated
            yield SourceRecord(native, (_component(component, judged, rules),), at.ms, original=raw)


class _JudgedOutput(NamedTuple):
    """What the components of a result have in common."""

    item: str | None
    grader: str | None
    comment: str | None
    names: set[str]
    """Names of the components so far."""


def _component(component: _PromptfooComponent, judged: _JudgedOutput, rules: Rules) -> Result:
    """The rating or verdict of a component."""
    assertion = component.assertion
    if assertion is None or assertion.type == "assert-set":
        return Skip(SkipReason.AGGREGATE, "a set of assertions")
    name = assertion.metric or assertion.type
    if name in judged.names:
        return Skip(SkipReason.REPEATED, f"two assertions are named {name!r}: set `metric` of each")
    judged.names.add(name)
    if assertion.type == "human":
        comment = (judged.comment or component.comment or "").removeprefix(_HIGHLIGHT).strip()
        return rules.annotation(
            Judgement(item=judged.item, passed=component.passed, comment=comment or None, part="human")
        )
    failed = component.metadata is not None and component.metadata.grader_error is True
    grader = judged.grader if assertion.type.removeprefix("not-") in _GRADED else None
    return rules.evaluation(
        Judgement(
            name=name,
            item=judged.item,
            value=component.score,
            # promptfoo turns each verdict of weight 0 into a pass.
            passed=None if assertion.weight == 0 else component.passed,
            threshold=assertion.threshold,
            error=(component.reason or "") if failed else None,
            comment=component.reason,
            judge=_provider(assertion.provider) or grader,
            part=name,
        )
    )


def _provider(provider: Any) -> str | None:
    """The id of a provider, which is text or an object."""
    return provider if isinstance(provider, str) else at_path(provider, "id")
