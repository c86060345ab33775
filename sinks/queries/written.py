"""What people and metrics wrote about the newest comparisons of a choice."""

# SQL is put together from constants of this package alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, NamedTuple

from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import Outcome
from sinks.queries.comparisons import Query, chosen_rows

NEWEST: Final = 500
"""Most comparisons whose texts are read, on each side."""
_ANNOTATIONS: Final = 10_000
"""Newest annotations of a queue among which they are looked for."""
_CHARACTERS: Final = 600
"""Characters of a text after which the rest is not read."""

_AGREEING: Final[dict[Outcome, Outcome]] = {"fp": "tn", "fn": "tp"}
_TEXTS: Final = f"""
SELECT a.item, a.id, substr(a.explanation, 1, {_CHARACTERS}), e.id, substr(e.reason, 1, {_CHARACTERS}) {{rows}}
    AND a.at >= ifnull((
        SELECT n.at FROM annotations AS n WHERE n.queue = :queue AND n.counted = 1
        ORDER BY n.at DESC LIMIT 1 OFFSET :annotations), 0)
ORDER BY a.at DESC, a.item_id DESC, a.id DESC, e.id DESC LIMIT :newest
"""


class WrittenText(NamedTuple):
    """An explanation or a reason, and the item that it is about."""

    text: str
    item: str


@dataclass(frozen=True, slots=True)
class WrittenTexts:
    """Texts of some comparisons, the newest first; each once, however many comparisons have it."""

    explanations: Sequence[WrittenText]
    """Of people."""
    reasons: Sequence[WrittenText]
    """Of metrics."""


def written(
    connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date
) -> tuple[WrittenTexts, WrittenTexts]:
    """The texts of the newest misaligned comparisons of a choice, and those of the aligned ones with the same human
    verdicts. The outcomes of the query must be misaligned ones; a search is left out.
    """
    query = replace(query, search=None, found=None)
    aligned = replace(query, outcomes=[_AGREEING[outcome] for outcome in query.outcomes])
    return _texts(connection, query, rules, today), _texts(connection, aligned, rules, today)


def _texts(connection: sqlite3.Connection, query: Query, rules: CountingRules, today: date) -> WrittenTexts:
    sql, values = chosen_rows(query, rules, today)
    values.update(newest=NEWEST, annotations=_ANNOTATIONS)
    explanations: dict[int, WrittenText] = {}
    reasons: dict[int, WrittenText] = {}
    for item, annotation, explanation, evaluation, reason in connection.execute(_TEXTS.format(rows=sql), values):
        if explanation:
            explanations.setdefault(annotation, WrittenText(explanation, item))
        if reason:
            reasons.setdefault(evaluation, WrittenText(reason, item))
    return WrittenTexts(list(explanations.values()), list(reasons.values()))
