"""Argilla: webhooks of responses, each with its whole record and dataset.

Shapes: argilla-io/argilla `argilla-server/src/argilla_server/webhooks/v1/`. The time of the envelope is the version; a
discarded response keeps its values.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Raw, Struct

from sources.meaning import Judgement, Rules, judged_value
from sources.records import Result, Skip, SkipReason, SourceRecord
from sources.shapes import TextTime, at_path, read


class _ArgillaValue(Struct):
    value: Any = None


class _ArgillaQuestion(Struct):
    name: str
    settings: dict[str, Any] = {}


class _ArgillaDataset(Struct):
    name: str
    questions: list[_ArgillaQuestion] = []


class _ArgillaRecord(Struct):
    dataset: _ArgillaDataset
    external_id: str | None = None
    metadata: dict[str, Any] | None = None
    fields: dict[str, Any] | None = None


class _ArgillaUser(Struct):
    id: str


class _ArgillaResponse(Struct):
    id: str
    status: str
    record: _ArgillaRecord
    user: _ArgillaUser | None = None
    values: dict[str, _ArgillaValue] | None = None


class _ArgillaResponseEvent(Struct):
    type: str
    timestamp: TextTime
    data: _ArgillaResponse


class _ArgillaWhole(Struct):
    data: Raw


class _ArgillaEvent(Struct):
    type: str
    timestamp: TextTime


class _ArgillaId(Struct):
    id: str


class _ArgillaDeletion(Struct):
    data: _ArgillaId


def records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The response of a webhook."""
    event = read(document, _ArgillaEvent)
    if event.type == "response.deleted":
        yield SourceRecord(read(document, _ArgillaDeletion).data.id, at=event.timestamp.ms, deleted=True)
    elif not event.type.startswith("response."):
        yield SourceRecord("", (Skip(SkipReason.NOT_AN_EVALUATION, event.type),))
    else:
        response, whole = read(document, _ArgillaResponseEvent).data, read(document, _ArgillaWhole)
        results = tuple(_results(response, rules))
        yield SourceRecord(response.id, results, event.timestamp.ms, original=whole.data)


def _results(response: _ArgillaResponse, rules: Rules) -> Iterator[Result]:
    if response.status != "submitted":
        yield Skip(SkipReason.NOT_SUBMITTED, response.status)
        return
    record, answers = response.record, response.values or {}
    fields = {"external_id": record.external_id, "metadata": record.metadata, "fields": record.fields}
    types = {question.name: question.settings.get("type") for question in record.dataset.questions}
    why = [answers[name].value for name in rules.settings.explanation if name in answers]
    for name, answer in answers.items():
        if name in rules.settings.explanation:
            continue
        if (skip := _unrated(name, types.get(name), answer.value)) is not None:
            yield skip
            continue
        said = Judgement(
            name=name,
            item=at_path(fields, rules.settings.item or "external_id"),
            value=judged_value(answer.value),
            comment="\n".join(text for text in why if isinstance(text, str)),
            author=None if response.user is None else response.user.id,
            queue=record.dataset.name,
            part=name,
        )
        yield rules.annotation(said)


def _unrated(name: str, kind: Any, value: Any) -> Skip | None:
    """Why the answer to a question is no rating."""
    if kind == "text":
        return Skip(SkipReason.TEXT, f"{name!r}: name it in `explanation`")
    if kind == "ranking":
        return Skip(SkipReason.PAIRWISE, f"{name!r} is a ranking")
    if not isinstance(value, str | int | float):
        return Skip(SkipReason.NOT_AN_EVALUATION, f"{name!r} is of type {kind}")
    return None
