"""Label Studio: webhooks of annotations, and the export of type JSON. Both have the same ids.

Shapes: HumanSignal/label-studio `label_studio/webhooks/`, label-studio-sdk `types/annotation.py`. A deletion carries
ids alone; several annotations that are created together are in two parallel lists.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Raw, Struct

from sources.meaning import JudgedValue, Judgement, Rules
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.shapes import TextTime, at_path, finite, read, read_each


class _LabelStudioUser(Struct):
    id: int


class _LabelStudioAnswer(Struct):
    type: str
    value: dict[str, Any] = {}
    from_name: str = ""


class _LabelStudioAnnotation(Struct):
    id: int
    updated_at: TextTime
    result: list[_LabelStudioAnswer] = []
    completed_by: int | _LabelStudioUser | None = None
    was_cancelled: bool = False
    task: int | None = None
    project: int | None = None


class _LabelStudioPrediction(Struct):
    id: int
    result: list[_LabelStudioAnswer] = []
    model_version: str | None = None
    created_at: TextTime | None = None
    updated_at: TextTime | None = None


class _LabelStudioTask(Struct):
    id: int
    data: dict[str, Any]
    project: int | None = None
    annotations: list[_LabelStudioAnnotation] = []
    predictions: list[_LabelStudioPrediction | int] = []
    """An export has their ids alone."""


class _LabelStudioId(Struct):
    id: int


class _LabelStudioOne(Struct):
    annotation: _LabelStudioAnnotation
    task: _LabelStudioTask


class _LabelStudioWhole(Struct):
    task: Raw


class _LabelStudioMany(Struct):
    annotation: list[Raw]
    task: list[Raw]


class _LabelStudioDeleted(Struct):
    annotations: list[_LabelStudioId]


class _LabelStudioAction(Struct):
    action: str


class _LabelStudioTrigger(Struct):
    """The body of a webhook without payload: no annotation, not one that cannot be read."""

    action: str
    annotation: None = None


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The annotations of a webhook, or the annotations and predictions of an export."""
    body = read(document, _LabelStudioAction, list[Raw])
    if isinstance(body, _LabelStudioAction):
        yield from _webhook(document, body.action, rules)
        return
    for raw, task in zip(body, read_each(body, _LabelStudioTask), strict=True):
        if isinstance(task, SourceRecord):
            yield task
            continue
        for annotation in task.annotations:
            yield _annotation(annotation, task, raw, rules)
        for prediction in task.predictions if rules.settings.predictions else ():
            if isinstance(prediction, int):
                why = "an export has only ids of predictions: let `source sync` read them"
                yield SourceRecord("", (Skip(SkipReason.NOT_AN_EVALUATION, why),))
            else:
                yield _prediction(prediction, task, raw, rules)


def _webhook(document: bytes, action: str, rules: Rules) -> Iterator[SourceRecord]:
    if action == "ANNOTATIONS_DELETED":
        deleted = read(document, _LabelStudioDeleted)
        yield from (SourceRecord(str(each.id), deleted=True) for each in deleted.annotations)
        return
    if not action.startswith("ANNOTATION"):
        yield SourceRecord("", (Skip(SkipReason.NOT_AN_EVALUATION, action),))
        return
    body = read(document, _LabelStudioOne, _LabelStudioMany, _LabelStudioTrigger)
    if isinstance(body, _LabelStudioOne):
        yield _annotation(body.annotation, body.task, read(document, _LabelStudioWhole).task, rules)
    elif isinstance(body, _LabelStudioMany):
        tasks = {
            task.id: (task, raw)
            for raw, task in zip(body.task, read_each(body.task, _LabelStudioTask), strict=True)
            if isinstance(task, _LabelStudioTask)
        }
        for annotation in read_each(body.annotation, _LabelStudioAnnotation):
            if isinstance(annotation, SourceRecord):
                yield annotation
            else:
                found, raw = tasks.get(annotation.task or 0, (None, None))
                yield _annotation(annotation, found, raw, rules)
    else:
        yield SourceRecord("", (Skip(SkipReason.TRIGGER, "let Label Studio send the payload"),))


def _annotation(
    annotation: _LabelStudioAnnotation, task: _LabelStudioTask | None, raw: Raw | None, rules: Rules
) -> SourceRecord:
    native, at = str(annotation.id), annotation.updated_at.ms
    who, project = annotation.completed_by, annotation.project or (task.project if task else None)
    if project is not None and rules.settings.project not in (None, str(project)):
        # What is not of the project that is pulled would be taken to be deleted there.
        return SourceRecord("", (Skip(SkipReason.NOT_AN_EVALUATION, "of another project than `project` names"),))
    if annotation.was_cancelled:
        return SourceRecord(native, (Skip(SkipReason.NOT_SUBMITTED, "cancelled"),), at)
    author = who.id if isinstance(who, _LabelStudioUser) else who
    texts = {answer.from_name: _texts(answer) for answer in annotation.result if answer.type == "textarea"}
    why = [text for name in rules.settings.explanation for text in texts.get(name, ())]

    def said(answer: _LabelStudioAnswer) -> Result:
        judgement = Judgement(
            name=answer.from_name,
            item=at_path(task.data, rules.settings.item) if task else None,
            value=_value(answer),
            comment="\n".join(why),
            author=None if author is None else str(author),
            queue=None if project is None else str(project),
            part=answer.from_name,
        )
        return _unrated(answer) or rules.annotation(judgement)

    rated = [answer for answer in annotation.result if answer.from_name not in rules.settings.explanation]
    return SourceRecord(native, tuple(map(said, rated)), at, original=raw)


def _prediction(prediction: _LabelStudioPrediction, task: _LabelStudioTask, raw: Raw, rules: Rules) -> SourceRecord:
    def said(answer: _LabelStudioAnswer) -> Result:
        judgement = Judgement(
            name=answer.from_name,
            item=at_path(task.data, rules.settings.item),
            value=_value(answer),
            judge=prediction.model_version,
            part=answer.from_name,
        )
        return _unrated(answer) or rules.evaluation(judgement)

    time = prediction.updated_at or prediction.created_at
    results = tuple(map(said, prediction.result))
    return SourceRecord(f"prediction-{prediction.id}", results, time.ms if time else None, original=raw)


def _texts(answer: _LabelStudioAnswer) -> list[str]:
    text = answer.value.get("text")
    return [each for each in (text if isinstance(text, list) else [text]) if isinstance(each, str)]


def _value(answer: _LabelStudioAnswer) -> JudgedValue:
    """The rating of an answer; of several choices the first."""
    if answer.type == "choices":
        choices = answer.value.get("choices")
        return str(choices[0]) if isinstance(choices, list) and choices else None
    return finite(answer.value.get(answer.type))


def _unrated(answer: _LabelStudioAnswer) -> Skip | None:
    """Why an answer is no rating."""
    if answer.type == "textarea":
        return Skip(SkipReason.TEXT, f"{answer.from_name!r}: name it in `explanation`")
    if answer.type not in ("rating", "number", "choices"):
        return Skip(SkipReason.NOT_AN_EVALUATION, f"{answer.from_name!r} is of type {answer.type}")
    return None
