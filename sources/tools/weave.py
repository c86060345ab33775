"""Weave: feedback on calls, of people and of scorers.

Shapes: wandb/weave `weave/trace_server/interface/feedback_types.py`, `weave/trace_server/trace_server_interface.py`.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Raw, Struct

from sources.meaning import JudgedValue, Judgement, Rules, judged_value
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.rules import JudgeRule
from sources.shapes import TextTime, at_path, read, read_each, value_at

_CALL: Final = re.compile(r"^weave:///[^/]+/[^/]+/call/([^/]+)")
_ANNOTATION: Final = "wandb.annotation."
_RUNNABLE: Final = "wandb.runnable."
_REACTION: Final = "wandb.reaction."
_NOTE: Final = "wandb.note."


class _WeavePayload(Struct):
    value: Any = None
    """Of a person."""
    output: Any = None
    """Of a scorer."""
    emoji: str | None = None
    detoned: str | None = None
    """The emoji without its skin tone."""


class _WeaveFeedback(Struct):
    id: str
    weave_ref: str
    feedback_type: str
    created_at: TextTime
    payload: _WeavePayload
    runnable_ref: str | None = None
    wb_user_id: str | None = None


class _WeaveAnswer(Struct):
    result: list[Raw]


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The feedback of an answer."""
    listed = read(document, _WeaveAnswer).result
    for raw, feedback in zip(listed, read_each(listed, _WeaveFeedback), strict=True):
        if isinstance(feedback, SourceRecord):
            yield feedback
        else:
            yield SourceRecord(feedback.id, (_result(feedback, rules),), feedback.created_at.ms, original=raw)


def _result(feedback: _WeaveFeedback, rules: Rules) -> Result:
    kind, payload = feedback.feedback_type, feedback.payload
    call = _CALL.match(feedback.weave_ref)
    item, level = call[1] if call else None, rules.settings.level or "trace"
    if kind.startswith(_RUNNABLE):
        name = kind.removeprefix(_RUNNABLE)
        rule = rules.settings.metrics.get(name)
        value, reason = _output(payload.output, rule)
        if isinstance(payload.output, dict) and value is None:
            return Skip(SkipReason.NO_RULE, f"{name!r} is an object: set `value` under `metrics`")
        judge = (feedback.runnable_ref or "").rpartition(":")[2]
        return rules.evaluation(Judgement(name=name, item=item, level=level, value=value, comment=reason, judge=judge))
    if kind.startswith(_ANNOTATION):
        name, value = kind.removeprefix(_ANNOTATION), judged_value(payload.value)
    elif kind.startswith(_REACTION):
        name, value = "reaction", payload.detoned or payload.emoji
    elif kind.startswith(_NOTE):
        return Skip(SkipReason.TEXT, "a note")
    else:
        return Skip(SkipReason.NOT_AN_EVALUATION, "another type of feedback")
    return rules.annotation(Judgement(name=name, item=item, level=level, value=value, author=feedback.wb_user_id))


def _output(output: Any, rule: JudgeRule | None) -> tuple[JudgedValue, str | None]:
    """The score or label of a scorer's output, and its explanation."""
    if not isinstance(output, dict):
        return judged_value(output), None
    if rule is None:
        return None, None
    value = judged_value(value_at(output, rule.value)) if rule.value else None
    return value, at_path(output, rule.reason) if rule.reason else None
