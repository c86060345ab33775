"""LangSmith: the feedback list, and the webhook of an automation rule.

Shapes: langchain-ai/langsmith-sdk `python/langsmith/schemas.py`, langsmith-java, and the docs of webhooks. Feedback of
a judge may carry the correction of a person. A failed evaluator has `error` in `extra`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from msgspec import Raw, Struct

from sources.meaning import JudgedValue, Judgement, Rules, judged_value
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.rules import Role
from sources.shapes import TextTime, read, read_each

_ROLES: Final[Mapping[str, Role]] = {"app": "human", "auto_eval": "judge", "model": "judge"}
"""`api` is used by judges and by end users alike."""


class _LangSmithFeedbackSource(Struct):
    type: str | None = None
    user_id: str | None = None


class _LangSmithExtra(Struct):
    error: Any = None


class _LangSmithFeedback(Struct):
    id: str
    key: str
    modified_at: TextTime
    run_id: str | None = None
    trace_id: str | None = None
    score: JudgedValue = None
    value: Any = None
    comment: str | None = None
    correction: Any = None
    feedback_source: _LangSmithFeedbackSource | None = None
    comparative_experiment_id: str | None = None
    extra: _LangSmithExtra | None = None


class _LangSmithRuleWebhook(Struct):
    rule_id: str
    runs: list[Raw]


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The feedback of an answer. A webhook has means only, so it just triggers a pull."""
    payload = read(document, list[Raw], _LangSmithRuleWebhook)
    if isinstance(payload, _LangSmithRuleWebhook):
        yield SourceRecord(payload.rule_id, (Skip(SkipReason.TRIGGER, "the means of a rule: pull the feedback"),))
        return
    for raw, feedback in zip(payload, read_each(payload, _LangSmithFeedback), strict=True):
        if isinstance(feedback, SourceRecord):
            yield feedback
        else:
            results = tuple(_results(feedback, rules))
            yield SourceRecord(feedback.id, results, feedback.modified_at.ms, original=raw)


def _results(feedback: _LangSmithFeedback, rules: Rules) -> Iterator[Result]:
    if feedback.comparative_experiment_id is not None:
        yield Skip(SkipReason.PAIRWISE, feedback.key)
        return
    source = feedback.feedback_source or _LangSmithFeedbackSource()
    value, label = _judged(feedback.score, feedback.value)
    failed = feedback.extra is not None and feedback.extra.error is True
    said = Judgement(
        name=feedback.key,
        item=feedback.run_id,
        level="trace" if feedback.trace_id in (None, feedback.run_id) else "span",
        value=value,
        label=label,
        error=(feedback.comment or "") if failed else None,
        comment=feedback.comment,
        author=source.user_id,
    )
    if value is None and label is None and not failed:
        yield Skip(SkipReason.TEXT, feedback.key)
    else:
        yield rules.judgement(said, source.type, _ROLES)
    if rules.settings.corrections and feedback.correction and rules.role(feedback.key, source.type, _ROLES) == "judge":
        yield _correction(feedback.correction, said, rules)


def _correction(correction: Any, said: Judgement, rules: Rules) -> Result:
    """The rating of the person who corrected a judge. Who that was is not reported."""
    fields = correction if isinstance(correction, dict) else {}
    value, label = _judged(fields.get("score"), fields.get("value"))
    if value is None and label is None:
        return Skip(SkipReason.TEXT, f"a correction of {said.name} without score and label")
    person = replace(said, value=value, label=label, error=None, comment=None, author=None, part="correction")
    return rules.annotation(person)


def _judged(score: Any, value: Any) -> tuple[JudgedValue, str | None]:
    """Score and label. The label is in `value`, which decides where it is one."""
    return judged_value(score), value if isinstance(value, str) else None
