"""CSV and JSON of any origin: the settings name the column, or the path, of each field.

CSV stands for every table: TSV, and one JSON object per line as well. Paths into JSON are JMESPath.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sources.item_paths import compiled, path_problem
from sources.meaning import Judgement, Rules
from sources.records import Malformed, Result, Skip, SkipReason, SourceRecord, UnknownShapeError
from sources.rules import RecordField, SourceSettings
from sources.shapes import finite, milliseconds, number_text, read
from sources.tables import NestedCell, Table, TableError, parse_table
from streams.events import values
from streams.events.values import InvalidValueError

_WHOLE: Final = re.compile("[0-9]{1,15}")
"""Milliseconds until the year 9999 have no more digits."""
_UNRATED: Final = Skip(SkipReason.NOT_SUBMITTED, "the rating is empty")
_UNJUDGED: Final = Skip(SkipReason.NOT_RUN, "score and verdict are empty")

RecordFields = Mapping[RecordField, Any]
"""The values of a record, by field of the event."""


def problems(settings: SourceSettings) -> Iterator[str]:
    """What is wrong with the settings of a source of these tools."""
    if "item" not in settings.columns:
        yield "columns.item is required"
    if not settings.columns.keys() & {"rating", "metric"}:
        yield "columns.rating (of people) or columns.metric (of a judge) is required"
    if settings.tool == "json":
        yield from filter(None, map(path_problem, filter(None, (settings.records, *settings.columns.values()))))


def has_ids(settings: SourceSettings) -> bool:
    """Whether records have ids, so that an owner index can remember them."""
    return "id" in settings.columns


def table_records(content: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """A record for each row of a table."""
    columns = rules.settings.columns
    try:
        table = parse_table("it", content, delimiter=rules.settings.delimiter)
    except TableError as error:
        raise UnknownShapeError(str(error)) from None
    require_columns(table, (*columns.values(), *rules.settings.item_paths.values()))
    rows = (
        (row.place, {field: row.cells.get(column) for field, column in columns.items()}, row.cells)
        for row in table.rows
    )
    yield from _records(rows, rules)
    yield from (SourceRecord("", (Malformed(f"{broken.place}: {broken.detail}"),)) for broken in table.broken)


def require_columns(table: Table, columns: Iterable[str]) -> None:
    """Raise UnknownShapeError unless a table has the columns."""
    if missing := [column for column in columns if column not in table.columns]:
        raise UnknownShapeError(f"column {missing[0]!r} is not found; existing: {', '.join(table.columns)}")


def json_records(document: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """A record for each object of a list in a document, or for the document itself."""
    content, path = read(document, dict, list), rules.settings.records
    found: Any = content if path is None else compiled(path)(content)
    if path is None and isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        raise UnknownShapeError(f"no list of records at `{path or '@'}`")
    searches = {field: compiled(path) for field, path in rules.settings.columns.items()}
    placed = (
        (f"record {number}", {field: search(record) for field, search in searches.items()}, record)
        for number, record in enumerate(found, start=1)
    )
    yield from _records(placed, rules)


def _records(records: Iterable[tuple[str, RecordFields, Any]], rules: Rules) -> Iterator[SourceRecord]:
    ids: dict[str, str] = {}
    for place, fields, original in records:
        try:
            for record in _record(fields, original, rules):
                # Else each would take back what the other states.
                if has_ids(rules.settings) and (first := ids.setdefault(record.native, place)) != place:
                    raise UnknownShapeError(f"id {record.native!r} is that of {first}")
                yield record
        except (UnknownShapeError, InvalidValueError) as error:
            # A row of a table, or the object of JSON.
            value = json.dumps(original).encode()
            yield SourceRecord("", (Malformed(f"{place}: {error}", value),))


def _record(fields: RecordFields, original: Any, rules: Rules) -> Iterator[SourceRecord]:
    """One record with all that a row states if it has an id, else one record for each statement."""
    item, author = _text(fields, "item"), _text(fields, "annotator")
    # The decoder rejects any other word.
    level: Any = _text(fields, "level") or rules.settings.level or "trace"
    stated: list[tuple[str, Result]] = []
    if "rating" in rules.settings.columns:
        criterion = _text(fields, "criterion") or ""
        rating = Judgement(
            name=criterion,
            item=item,
            level=level,
            value=_score(fields, "rating", rules),
            label=_text(fields, "rating"),
            comment=_text(fields, "explanation"),
            expected=_text(fields, "expected"),
            author=author,
            queue=_text(fields, "queue"),
        )
        result = _UNRATED if rating.label is None else rules.annotation(rating)
        stated.append((f"{item}/{criterion}/{author or ''}", result))
    if "metric" in rules.settings.columns:
        metric = _text(fields, "metric") or ""
        verdict = Judgement(
            name=metric,
            item=item,
            level=level,
            value=_score(fields, "score", rules),
            label=_text(fields, "verdict"),
            threshold=_score(fields, "threshold", rules),
            comment=_text(fields, "reason"),
            judge=_text(fields, "judge"),
            part=metric if stated and has_ids(rules.settings) else "",
        )
        result = _UNJUDGED if verdict.text is None else rules.evaluation(verdict)
        stated.append((f"{item}/{metric}", result))
    at = _time(fields)
    if not has_ids(rules.settings):
        yield from (SourceRecord(native, (result,), at, original=original) for native, result in stated)
    elif (id := _text(fields, "id")) is None:
        raise UnknownShapeError("id is empty")
    else:
        yield SourceRecord(id, tuple(result for _, result in stated), at, original=original)


def _text(fields: RecordFields, name: RecordField) -> str | None:
    """A field as text; None for an empty one. Raises UnknownShapeError for a list or an object."""
    value = fields.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, NestedCell | list | dict):
        raise UnknownShapeError(f"{name} is a list or an object, expected text or a number")
    return value or None


def _score(fields: RecordFields, name: RecordField, rules: Rules) -> float | None:
    """A field as a number. Raises UnknownShapeError for a score or a threshold that is not one."""
    text = _text(fields, name)
    number = None if text is None else finite(text.replace(",", ".") if rules.settings.decimal == "," else text)
    if number is None and text is not None and name != "rating":
        raise UnknownShapeError(f"{name} is not a number")
    return number


def _time(fields: RecordFields) -> int | None:
    """The time of a record: RFC 3339, in UTC where it has no offset, or milliseconds since 1970."""
    text = _text(fields, "at")
    if text is None:
        return None
    return values.milliseconds(int(text)) if _WHOLE.fullmatch(text) else milliseconds(text)
