"""ragas: a result as a table, from `EvaluationResult.to_pandas()`, with a column of items that the user added.

Shape: explodinggradients/ragas `src/ragas/dataset_schema.py`. A metric has one column, and an empty cell where it
failed.
"""

from collections.abc import Iterator
from typing import Final

from sources.meaning import Judgement, Rules
from sources.records import Malformed, Result, SourceRecord, UnknownShapeError
from sources.shapes import finite
from sources.tables import TableError, parse_table
from sources.tools.generic import require_columns

_SAMPLE: Final = frozenset({
    "user_input", "retrieved_contexts", "reference_contexts", "retrieved_context_ids", "reference_context_ids",
    "response", "multi_responses", "reference", "rubrics", "rubric", "reference_tool_calls", "reference_topics",
    "persona_name", "query_style", "query_length",
})  # fmt: skip
"""Columns of the data set."""
_FAILED: Final = ("", "nan", "none")


def records(content: bytes, rules: Rules) -> Iterator[SourceRecord]:
    """The scores of each row."""
    try:
        table = parse_table("it", content, delimiter=rules.settings.delimiter)
    except TableError as error:
        raise UnknownShapeError(str(error)) from None
    if _SAMPLE.isdisjoint(table.columns):
        raise UnknownShapeError("it has no column of a ragas data set, such as user_input")
    item, paths = rules.settings.item, rules.settings.item_paths.values()
    require_columns(table, paths if item is None else (item, *paths))
    # A column without a name is the index of pandas.
    scored = [name for name in table.columns if name and name != item and name not in _SAMPLE]
    for row in table.rows:
        native = "" if item is None else row.cells[item]
        results = (_result(name, row.cells[name], native, rules) for name in scored)
        yield SourceRecord(native, tuple(result for result in results if result is not None), original=row.cells)
    yield from (SourceRecord("", (Malformed(f"{broken.place}: {broken.detail}"),)) for broken in table.broken)


def _result(name: str, cell: str, item: str, rules: Rules) -> Result | None:
    """The verdict in a cell; None for a text in a column that is no metric."""
    score = finite(cell)
    is_metric = name in rules.settings.metrics or name in rules.defaults
    if not is_metric and score is None:
        return None
    label = cell.strip() if score is None else None
    error = "" if label is not None and label.lower() in _FAILED else None
    return rules.evaluation(Judgement(name=name, item=item, value=score, label=label, error=error, part=name))
