"""The rows of single items: what people and metrics have stated about each, and what every two of them count for."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypedDict, cast

import orjson

from aggregator.days import day_of, in_words
from aggregator.facts import Level
from aggregator.ratings import LEVELS, human_passes, level_of
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import Outcome
from sinks.budgets import fitting
from sinks.queries.item_answer import (
    ItemAnnotation,
    ItemEvaluation,
    ItemPair,
    ItemText,
    PairState,
    QueuePlacement,
)


class ItemRows(TypedDict):
    """The rows of one item in one queue."""

    item: str
    """Id of the item."""
    annotations: list[ItemAnnotation]
    """Annotations in this queue, oldest first."""
    evaluations: list[ItemEvaluation]
    """Evaluations of the item, oldest first."""
    placement: QueuePlacement | None
    """The queue item; null without one."""
    annotations_left_out: int
    """Number of annotations that are not read because the item has so many."""
    evaluations_left_out: int
    """Number of such evaluations."""


class _RowTable(NamedTuple):
    """SQL that reads rows of items."""

    chosen: str
    """Item, id and number of all rows of the item, of each row of a choice; no texts."""
    row: str
    """One of them."""


def _table(name: str, columns: str, where: str, first: str) -> _RowTable:
    # Texts are read after the rows are chosen, and one row at a time: an item may have any number of them.
    chosen = f"""
    SELECT item_id, id, rows FROM (
        SELECT r.item_id AS item_id, r.id AS id, count(*) OVER item AS rows,
            row_number() OVER (item ORDER BY {first}, r.at DESC) AS place
        FROM {name} AS r
        WHERE r.item_id IN (SELECT value FROM json_each(:items)) AND {where}
        WINDOW item AS (PARTITION BY r.item_id))
    WHERE place <= :most ORDER BY item_id, place
    """
    return _RowTable(chosen, f"SELECT {_COMMON}, {columns} FROM {name} WHERE id = ?")


_COMMON: Final = "event, at, level, url, input, output, tags, deleted"
_ANNOTATIONS: Final = _table(
    "annotations",
    "criterion, annotator, thumbs, stars, explanation, expected, counted, median",
    where="r.queue = :queue AND (:all OR r.deleted = 0)",
    first="r.criterion IS :criterion DESC, r.annotator IS :annotator DESC",
)
_EVALUATIONS: Final = _table(
    "evaluations",
    "metric, judge, status, score, threshold, direction, passed, reason, current",
    where="(:all OR r.current = 1 OR r.shown = 1)",
    first="r.metric IS :metric DESC",
)
_PLACEMENTS: Final = _RowTable(
    "SELECT item_id, id, 1 FROM queue_items "
    "WHERE queue = :queue AND item_id IN (SELECT value FROM json_each(:items)) ORDER BY item_id",
    f"SELECT {_COMMON} FROM queue_items WHERE id = ?",
)
_NAMES: Final = "SELECT item_id, item FROM items WHERE item_id IN (SELECT value FROM json_each(:items))"
_FLAGS: Final = ("deleted", "counted", "current")
_TEXTS: Final = ("input", "output", "explanation", "expected", "reason")


def find_item(connection: sqlite3.Connection, queue: str, item: str) -> int | None:
    """The id in the store of an item; None when no annotation or queue item of the queue names it."""
    row = connection.execute(
        "SELECT item_id FROM items AS i WHERE item = :item AND ("
        "EXISTS (SELECT 1 FROM annotations AS a WHERE a.queue = :queue AND a.item_id = i.item_id) "
        "OR EXISTS (SELECT 1 FROM queue_items AS q WHERE q.queue = :queue AND q.item_id = i.item_id))",
        {"queue": queue, "item": item},
    ).fetchone()
    return None if row is None else int(row[0])


def item_names(connection: sqlite3.Connection, items: Sequence[int]) -> dict[int, str]:
    """The id of each item by its id in the store."""
    return dict(connection.execute(_NAMES, {"items": orjson.dumps(items).decode()}).fetchall())


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChoice:
    """Which rows of items are read."""

    standing: bool = False
    """Leave out deleted annotations, and evaluations that are neither the newest verdict of their metric nor a failure
    that stands in for one.
    """
    most: int
    """Most annotations, and most evaluations, of an item: the newest."""
    most_bytes: int
    """Bytes of the annotations, and of the evaluations, of an item, after which no more are read."""
    most_characters: int | None = None
    """A text with more characters is cut after one more than these."""
    criterion: str | None = None
    """Annotations of this criterion, and of this annotator, come before newer ones."""
    annotator: str | None = None
    metric: str | None = None
    """Evaluations of this metric come before newer ones."""


def item_rows(
    connection: sqlite3.Connection, queue: str, items: Sequence[int], rules: CountingRules, choice: RowChoice
) -> list[ItemRows]:
    """The rows of items, given by their ids in the store, in the given order.

    Annotations and queue items are those of `queue`; `rules` decide which ratings pass.
    """
    values = {
        "queue": queue,
        "items": orjson.dumps(items).decode(),
        "all": not choice.standing,
        "most": choice.most,
        "criterion": choice.criterion,
        "annotator": choice.annotator,
        "metric": choice.metric,
    }
    annotations = _read(connection, _ANNOTATIONS, values, choice)
    evaluations = _read(connection, _EVALUATIONS, values, choice)
    placements = _read(connection, _PLACEMENTS, values, choice)
    names = dict(connection.execute(_NAMES, values))
    for row in chain.from_iterable(of_item.rows for of_item in annotations.values()):
        level = level_of(row["thumbs"], row["stars"])
        row["passes"] = None if row["deleted"] else human_passes(level, rules.pass_limit(row["criterion"]))
        row["median"] = None if row["median"] is None else LEVELS[row["median"]]
    for row in chain.from_iterable(of_item.rows for of_item in evaluations.values()):
        row["passed"] = None if row["passed"] is None else bool(row["passed"])
    nothing = _OfItem([], 0)
    return [
        ItemRows(
            item=names[item],
            annotations_left_out=annotations.get(item, nothing).left_out,
            evaluations_left_out=evaluations.get(item, nothing).left_out,
            annotations=cast("list[ItemAnnotation]", annotations.get(item, nothing).rows),
            evaluations=cast("list[ItemEvaluation]", evaluations.get(item, nothing).rows),
            placement=cast("QueuePlacement | None", next(iter(placements.get(item, nothing).rows), None)),
        )
        for item in items
    ]


class _OfItem(NamedTuple):
    """Rows of one item, oldest first."""

    rows: list[dict[str, Any]]
    left_out: int


def _read(
    connection: sqlite3.Connection, table: _RowTable, values: Mapping[str, object], choice: RowChoice
) -> dict[int, _OfItem]:
    """The rows of each item that has any."""
    chosen = connection.execute(table.chosen, values).fetchall()
    by_item: dict[int, _OfItem] = {}
    for item, group in groupby(chosen, itemgetter(0)):
        _, ids, (total, *_) = zip(*group, strict=True)
        read = (_row(connection.execute(table.row, (id,)), choice.most_characters) for id in ids)
        rows = fitting(read, choice.most_bytes)
        rows.sort(key=itemgetter("at", "id"))
        by_item[item] = _OfItem(rows, total - len(rows))
    return by_item


def _row(cursor: sqlite3.Cursor, most_characters: int | None) -> dict[str, Any]:
    columns = [name for name, *_ in cursor.description]
    row: dict[str, Any] = dict(zip(columns, cursor.fetchone(), strict=True))
    row["id"] = row.pop("event")
    row["tags"] = orjson.loads(row["tags"] or "{}")
    row.update({flag: bool(row[flag]) for flag in _FLAGS if flag in row})
    if most_characters is not None:
        row.update({name: row[name][: most_characters + 1] for name in _TEXTS if row.get(name) is not None})
    return row


def item_pairs(rows: ItemRows, rules: CountingRules) -> Iterator[ItemPair]:
    """Every annotation of an item with every evaluation of it, and what they count for; those in cells first.

    An item may have very many: each pair is put into words only when it is asked for.
    """
    by_state: dict[PairState, list[tuple[ItemAnnotation, ItemEvaluation]]] = {state: [] for state in PairState}
    for annotation, states in pair_states(rows, rules):
        for evaluation, state in zip(rows["evaluations"], states, strict=True):
            by_state[state].append((annotation, evaluation))
    medians = {row["criterion"] for row in rows["annotations"] if row["median"] is not None}
    newest = {row["metric"]: row["at"] for row in reversed(rows["evaluations"]) if row["current"]}
    for state, pairs in by_state.items():
        for annotation, evaluation in pairs:
            outcome = pair_outcomes(annotation, rules)[bool(evaluation["passed"])] if state in _IN_CELLS else None
            match state:
                case PairState.NOT_LATEST:
                    why = _superseded_rating(by_majority=annotation["criterion"] in medians)
                case PairState.SUPERSEDED:
                    why = _superseded_verdict(newest.get(evaluation["metric"]))
                case _:
                    why = _why(state, annotation, evaluation, rows, rules)
            yield ItemPair(
                criterion=annotation["criterion"],
                annotator=annotation["annotator"],
                metric=evaluation["metric"],
                judge=evaluation["judge"],
                status=evaluation["status"],
                state=state,
                outcome=outcome,
                day=None if outcome is None else day_of(annotation["at"]),
                why=why,
            )


def pair_states(rows: ItemRows, rules: CountingRules) -> Iterator[tuple[ItemAnnotation, list[PairState]]]:
    """Each annotation of an item, with its state with every evaluation."""
    removed = rows["placement"] is not None and rows["placement"]["deleted"]
    evaluations = [(row["metric"], _evaluation_state(row)) for row in rows["evaluations"]]
    for annotation in rows["annotations"]:
        of_annotation = PairState.ITEM_REMOVED if removed else _annotation_state(annotation)
        if of_annotation is not None:
            yield annotation, [of_annotation] * len(evaluations)
            continue
        criterion = annotation["criterion"]
        yield (
            annotation,
            [
                state or (PairState.COUNTED if rules.on_topic(criterion, metric) else PairState.OFF_TOPIC)
                for metric, state in evaluations
            ],
        )


_IN_CELLS: Final = (PairState.COUNTED, PairState.OFF_TOPIC, PairState.SUPERSEDED)


def _annotation_state(annotation: ItemAnnotation) -> PairState | None:
    """Why an annotation is compared with nothing; None if it is."""
    if annotation["deleted"]:
        return PairState.ANNOTATION_DELETED
    return None if annotation["counted"] else PairState.NOT_LATEST


def _evaluation_state(evaluation: ItemEvaluation) -> PairState | None:
    """Why an evaluation does not count for its metric; None if it does."""
    holds = (
        (PairState.EVALUATION_DELETED, evaluation["deleted"]),
        (PairState.ERROR, evaluation["status"] == "error"),
        (PairState.SKIPPED, evaluation["status"] == "skipped"),
        (PairState.SUPERSEDED, not evaluation["current"]),
    )
    return next((state for state, true in holds if true), None)


def _superseded_rating(*, by_majority: bool) -> str:
    if by_majority:
        return "by the policy majority, it is part of the comparison that is listed with the newest annotation"
    return "by the policy latest, a newer annotation of this criterion counts instead"


def _superseded_verdict(newest: int | None) -> str:
    of = "" if newest is None else f" of {in_words(newest)}"
    return f"the metric's verdict{of} is newer: this one counts for its own judge version only"


def _why(
    state: PairState, annotation: ItemAnnotation, evaluation: ItemEvaluation, rows: ItemRows, rules: CountingRules
) -> str:
    match state:
        case PairState.ITEM_REMOVED:
            assert rows["placement"] is not None
            why = f"the item was removed from the queue at {in_words(rows['placement']['at'])}"
        case PairState.ANNOTATION_DELETED:
            why = f"the annotation was deleted at {in_words(annotation['at'])}"
        case PairState.EVALUATION_DELETED:
            why = f"the evaluation was deleted at {in_words(evaluation['at'])}"
        case PairState.ERROR:
            why = "the evaluation failed: it has no verdict"
        case PairState.SKIPPED:
            why = "the evaluation was skipped: it has no verdict"
        case PairState.OFF_TOPIC:
            why = "the setting criterion_metrics leaves this metric out of the numbers of the criterion"
        case _:
            why = f"{_rating_words(annotation, rules)}, {_verdict_words(evaluation)}"
    return why


def compared_rating(annotation: ItemAnnotation) -> int:
    """The rating that an annotation is compared with, an index in `LEVELS`; its own except under policy `majority`."""
    if annotation["median"] is not None:
        return LEVELS.index(annotation["median"])
    return level_of(annotation["thumbs"], annotation["stars"])


def _rating_words(annotation: ItemAnnotation, rules: CountingRules) -> str:
    level, limit = compared_rating(annotation), rules.pass_limit(annotation["criterion"])
    verb = "passes" if human_passes(level, limit) else "fails"
    rating = LEVELS[level]
    of = "" if annotation["median"] is None else "the median of the ratings, "
    if rating in ("up", "down"):
        return f"{of}thumb {rating} {verb}"
    return f"{of}{rating} of 5 stars {verb} (pass from {limit})"


def _verdict_words(evaluation: ItemEvaluation) -> str:
    verb = "passes" if evaluation["passed"] else "fails"
    score, threshold = evaluation["score"], evaluation["threshold"]
    if score is None or threshold is None:
        return f"the metric {verb} it"
    sign = ">=" if evaluation["direction"] == "higher" else "<="
    met = "" if (score >= threshold if sign == ">=" else score <= threshold) else "not "
    by_event = "" if bool(met) != evaluation["passed"] else ", as the event states"
    return f"the metric {verb} it (score {score!r} is {met}{sign} {threshold!r}{by_event})"


def pair_outcomes(annotation: ItemAnnotation, rules: CountingRules) -> tuple[Outcome, Outcome]:
    """The outcomes of an annotation with a verdict that fails, and with one that passes."""
    passes = human_passes(compared_rating(annotation), rules.pass_limit(annotation["criterion"]))
    return ("fn", "tp") if passes else ("tn", "fp")


def item_text(rows: ItemRows, name: str) -> str | None:
    """`url`, `input` or `output` of an item: of its newest annotation, else of the queue item, else of an evaluation.

    Single comparisons take that of their own annotation first.
    """
    return next((row[name] for row in _sources(rows) if row[name] is not None), None)  # type: ignore[literal-required]


def item_tags(rows: ItemRows) -> dict[str, str]:
    """Value of each tag of an item, by the order of `item_text`."""
    return {name: value for row in reversed([*_sources(rows)]) for name, value in row["tags"].items()}


def item_level(rows: ItemRows) -> Level:
    """The level of an item, of its newest annotation, else of the queue item, else of an evaluation."""
    return next((row["level"] for row in _sources(rows)), "trace")


def _sources(rows: ItemRows) -> Iterable[ItemText]:
    yield from reversed(rows["annotations"])
    if rows["placement"] is not None:
        yield rows["placement"]
    yield from reversed(rows["evaluations"])
