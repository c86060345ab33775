"""Which column plays which role: the one that was named, or one whose name leaves no doubt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn

from aggregator.days import milliseconds
from aggregator.facts import Direction
from eval_alignment.tables.labels import LabelScale, ScaleError, number, parse_scale, quoted, scale_of
from eval_alignment.tables.mapping import ColumnRules, MetricRule
from eval_alignment.unknown_names import not_found
from sources.file_formats import READ_ERRORS
from sources.tables import Table, TableError, read_table
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

RECOGNISED: Final[Mapping[str, tuple[str, ...]]] = {
    "item": ("item", "item id", "id", "trace id", "span id", "thread id", "conversation id"),
    "human": (
        "human", "human label", "human rating", "human verdict", "label", "rating", "thumbs", "stars", "gold label",
    ),
    "verdict": ("verdict", "passed", "judge verdict", "judge label", "metric verdict"),
    "score": ("score", "judge score", "metric score"),
    "threshold": ("threshold",),
    "annotator": ("annotator", "annotator id", "rater", "rater id", "reviewer", "rated by", "annotated by"),
    "criterion": ("criterion",),
    "metric": ("metric", "metric name"),
    "judge": ("judge version",),
    "explanation": ("explanation", "comment"),
    "reason": ("reason",),
    "at": ("at",),
}  # fmt: skip
"""Names that are recognised, by role: without case, and with `_` or `-` for a blank."""
_SAMPLES: Final = 3
_LISTED: Final = 30
"""Maximum number of columns in a message."""


class ColumnError(EvalAlignmentError):
    """A column is missing, ambiguous, or has an unknown scale; the message names what exists and what to type."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChoice:
    """What the caller states about the columns; None for what is to be recognised."""

    item: str | None = None
    human: str | None = None
    labels: str | None = None
    verdict: str | None = None
    verdict_labels: str | None = None
    score: str | None = None
    threshold: Sequence[str] = ()
    """Numbers, each for all score columns or as `COLUMN=NUMBER` for one."""
    direction: Direction = "higher"
    metric_columns: Sequence[str] = ()
    """Names, or lists of names with commas."""
    metric: str | None = None
    metric_name: str | None = None
    criterion: str | None = None
    criterion_name: str | None = None
    annotator: str | None = None
    judge: str | None = None
    judge_name: str | None = None
    explanation: str | None = None
    reason: str | None = None
    at_column: str | None = None
    at: datetime | None = None
    """Time of rows without one; None for now."""
    delimiter: str | None = None
    encoding: str | None = None

    def given(self) -> list[str]:
        """Names of the fields that are stated."""
        return [each.name for each in fields(self) if getattr(self, each.name) != each.default]


@dataclass(frozen=True, slots=True)
class TableRules:
    """A table with the rules for its columns."""

    table: Table
    rules: ColumnRules
    note: str
    """What was recognised, in one line."""


def read_tables(paths: Sequence[Path], choice: ColumnChoice) -> list[Table]:
    """The tables of these files. Raises TableError."""
    try:
        return [read_table(path, encoding=choice.encoding, delimiter=choice.delimiter) for path in paths]
    except READ_ERRORS as error:
        raise TableError(f"cannot read the input: {error}") from error


def rules_of(tables: Sequence[Table], choice: ColumnChoice, *, queue: str, now: int, alone: bool) -> list[TableRules]:
    """The rules of every table.

    Args:
        tables: the tables of one input. Each has the item, and labels, results of metrics, or both.
        choice: what the caller states. A column that it names is in at least one table.
        queue: the queue of the annotations.
        now: the time of events without one, in milliseconds.
        alone: whether the tables are all there is, so that they have both sides and every score has a threshold.

    Raises ColumnError.
    """
    choice = replace(choice, metric_columns=_split(tables, choice.metric_columns))
    _refuse_contradictions(choice)
    for role, column in _named_columns(choice):
        _require(tables, role, column)
    thresholds = _thresholds(choice.threshold)
    for column in thresholds.keys() - {""}:
        _require(tables, "--threshold", column)
    resolved = [_Resolver(table, choice, thresholds, alone).rules(queue, now) for table in tables]
    if thresholds and not any(metric.score for each in resolved for metric in each.rules.metrics):
        raise ColumnError(f"--threshold needs a column of scores: type --score COLUMN; {_columns(tables)}")
    if alone and tables:
        if all(each.rules.human is None for each in resolved):
            raise ColumnError(
                f"no column is surely the human label: type {_advice(resolved, '--human')}; {_columns(tables)}"
            )
        if not any(each.rules.metrics for each in resolved):
            raise ColumnError(
                f"no column is surely the metric: type {_advice(resolved, '--verdict')}, or --score COLUMN --threshold "
                f"NUMBER; {_columns(tables)}"
            )
    return resolved


def _advice(resolved: Sequence[TableRules], option: str) -> str:
    """The option to type, with the first column that has labels and no role yet."""
    for each in resolved:
        taken = {each.rules.item, each.rules.human, *(metric.column for metric in each.rules.metrics)}
        for column in each.table.columns:
            values = list(each.table.values(column))
            if values and column not in taken:
                try:
                    scale_of(values, verdicts=option == "--verdict")
                except ScaleError:
                    continue
                return f"{option} COLUMN, such as {option} {quoted(column)}"
    return f"{option} COLUMN"


_NAMING: Final = (
    "item", "human", "verdict", "score", "metric", "criterion", "annotator", "judge", "explanation", "reason",
    "at_column",
)  # fmt: skip
"""Fields of the choice that name a column."""


def _option(name: str) -> str:
    """The option of a field of the choice."""
    return f"--{name.replace('_', '-')}"


def _refuse_contradictions(choice: ColumnChoice) -> None:
    """Refuse options of which one would have no effect."""
    single = [name for name in ("verdict", "score", "metric", "metric_name") if getattr(choice, name) is not None]
    pairs = [("metric_columns", name) for name in single if choice.metric_columns]
    pairs += [(name, f"{name}_name") for name in ("metric", "criterion", "judge")]
    for one, other in pairs:
        if getattr(choice, one) and getattr(choice, other):
            raise ColumnError(f"{_option(one)} cannot be combined with {_option(other)}")


def _named_columns(choice: ColumnChoice) -> list[tuple[str, str]]:
    """Option and column for each column that the caller names."""
    named = [(_option(name), getattr(choice, name)) for name in _NAMING if getattr(choice, name) is not None]
    return named + [("--metric-columns", column) for column in choice.metric_columns]


def _split(tables: Sequence[Table], lists: Sequence[str]) -> list[str]:
    """The names in lists with commas; a column whose name has a comma is one name."""
    columns = {column for table in tables for column in table.columns}
    names = [name for each in lists for name in ([each] if each in columns else each.split(","))]
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))


def _require(tables: Sequence[Table], option: str, column: str) -> None:
    if not any(_find(table, column) for table in tables):
        existing = {name: None for table in tables for name in table.columns if name}
        fixed = f"; for a fixed name, type {option}-name {quoted(column)}" if option in _WITH_NAME else ""
        raise ColumnError(f"{option}: {not_found('column', column, list(existing))}{fixed}")


_WITH_NAME: Final = ("--metric", "--criterion", "--judge")


def _find(table: Table, name: str) -> str | None:
    """The column with a name, or the only one that differs in case and blanks alone."""
    if name not in table.columns:
        similar = [column for column in table.columns if column.casefold() == name.strip().casefold()]
        if len(set(similar)) != 1:
            return None
        name = similar[0]
    if name in table.repeated_columns:
        raise ColumnError(f"{table.name}: {table.columns.count(name)} columns are called {quoted(name)}: rename one")
    return name


def _columns(tables: Sequence[Table]) -> str:
    """The columns of the tables, each with some of its values."""
    parts = []
    for table in tables:
        for column in dict.fromkeys(table.columns):
            values = list(dict.fromkeys(quoted(value.strip()) for value in table.values(column)))
            sample = ", ".join(values[:_SAMPLES]) + (", ..." if len(values) > _SAMPLES else "")
            parts.append(f"{quoted(column)} ({sample or 'empty'})")
    more = f" and {len(parts) - _LISTED} more" if len(parts) > _LISTED else ""
    return f"columns: {'; '.join(parts[:_LISTED])}{more}" if parts else "the input has no columns"


class _Resolver:
    """Finds the columns of one table."""

    def __init__(self, table: Table, choice: ColumnChoice, thresholds: Mapping[str, float], alone: bool) -> None:
        self._table, self._choice, self._thresholds, self._alone = table, choice, thresholds, alone

    def rules(self, queue: str, now: int) -> TableRules:
        choice = self._choice
        item = self._column("item")
        if item is None:
            missing = f"has no column {quoted(choice.item)}" if choice.item else "has no column that is surely the item"
            self._fail(f"{missing}: type --item COLUMN; {_columns([self._table])}")
        human = self._column("human")
        metrics = self._metrics()
        if human is None and not metrics:
            self._fail(
                "has neither human labels nor a metric: type --human COLUMN, --verdict COLUMN, or --score COLUMN "
                f"--threshold NUMBER; {_columns([self._table])}"
            )
        criterion = self._column("criterion") if choice.criterion_name is None else None
        rules = ColumnRules(
            item=item,
            queue=queue,
            at=now if choice.at is None else milliseconds(choice.at),
            at_column=self._optional("at", choice.at_column),
            human=human,
            scale=None if human is None else self._scale(human, choice.labels, "--labels"),
            annotator=self._column("annotator") if human is not None else None,
            criterion=criterion,
            criterion_name=choice.criterion_name,
            explanation=self._column("explanation") if human is not None else None,
            metrics=metrics,
            metric=self._metric_names(criterion) if metrics else None,
            judge=self._column("judge") if metrics and choice.judge_name is None else None,
            judge_name=choice.judge_name,
            reason=self._column("reason") if metrics else None,
        )
        return TableRules(self._table, rules, self._note(rules))

    def _fail(self, problem: str) -> NoReturn:
        raise ColumnError(f"{self._table.name}: {problem}")

    def _column(self, role: str) -> str | None:
        return self._optional(role, getattr(self._choice, role))

    def _optional(self, role: str, named: str | None) -> str | None:
        """The column of a role: the named one if this table has it, or the only one with a name that is recognised."""
        if named is not None:
            return _find(self._table, named)
        known = RECOGNISED[role]
        candidates = list(dict.fromkeys(name for name in self._table.columns if _plain(name) in known))
        if len(candidates) > 1:
            option = "--at-column" if role == "at" else f"--{role}"
            listed = " or ".join(map(quoted, candidates))
            self._fail(f"more than one column may be the {role}: type {option} {listed}")
        return _find(self._table, candidates[0]) if candidates else None

    def _metrics(self) -> list[MetricRule]:
        choice = self._choice
        if choice.metric_columns:
            found = [name for column in choice.metric_columns if (name := _find(self._table, column)) is not None]
            return [self._metric_column(column) for column in found]
        verdict = _find(self._table, choice.verdict) if choice.verdict is not None else None
        score = _find(self._table, choice.score) if choice.score is not None else None
        if choice.verdict is None and choice.score is None:
            verdict = None if self._thresholds else self._column("verdict")
            score = self._column("score") if verdict is None else None
        if verdict is None and score is None:
            return []
        thresholds = {name: value for name, value in self._thresholds.items() if name in ("", score)}
        threshold_column = None if thresholds or score is None else self._optional("threshold", None)
        if verdict is None and self._alone and not thresholds and threshold_column is None:
            self._fail(f"column {quoted(score or '')} has scores: type --threshold NUMBER, the score that decides")
        rule = MetricRule(
            name=choice.metric_name or verdict or score,
            verdict=verdict,
            scale=None if verdict is None else self._verdicts(verdict, f"--score {quoted(verdict)} --threshold NUMBER"),
            score=score,
            threshold=thresholds.get(score or "", thresholds.get("")),
            threshold_column=threshold_column,
            direction=choice.direction,
        )
        self._check_numbers(score)
        return [rule]

    def _metric_column(self, column: str) -> MetricRule:
        """A column of scores where it has a threshold, otherwise of verdicts."""
        threshold = self._thresholds.get(column, self._thresholds.get(""))
        if threshold is None:
            return MetricRule(name=column, verdict=column, scale=self._verdicts(column, "--threshold NUMBER"))
        self._check_numbers(column)
        return MetricRule(name=column, score=column, threshold=threshold, direction=self._choice.direction)

    def _metric_names(self, criterion: str | None) -> str | None:
        """The column that names the metric. Where each row has a criterion, its verdict is about that criterion."""
        choice = self._choice
        if choice.metric_columns or choice.metric_name is not None:
            return None
        return self._column("metric") or criterion

    def _verdicts(self, column: str, for_scores: str) -> LabelScale:
        """The scale of verdicts; `for_scores` are the options to type for a column that has scores."""
        scale = self._scale(column, self._choice.verdict_labels, "--verdict-labels", for_scores)
        if any(isinstance(label, int) for label in scale.values.values()):
            self._fail(
                f"column {quoted(column)} has verdicts, which are pass or fail: type --verdict-labels without stars"
            )
        return scale

    def _scale(self, column: str, given: str | None, option: str, for_scores: str = "") -> LabelScale:
        try:
            values = self._table.values(column)
            return scale_of(values, verdicts=bool(for_scores)) if given is None else parse_scale(given)
        except ScaleError as error:
            if given is not None:
                raise ColumnError(f"{option}: {error}") from None
            scales = "thumbs, pass-at=NUMBER" if for_scores else "thumbs, stars, pass-at=NUMBER"
            scores = f"; for scores type {for_scores}" if for_scores else ""
            self._fail(f"column {quoted(column)}: {error}: type {option} {scales} or VALUE=pass,VALUE=fail{scores}")

    def _check_numbers(self, column: str | None) -> None:
        """Refuse a column in which a comma may divide decimals or thousands."""
        if column is not None and {_decimal(cell) for cell in self._table.values(column)} >= {",", "."}:
            self._fail(f"column {quoted(column)} has numbers with decimal points and with commas: write them alike")

    def _note(self, rules: ColumnRules) -> str:
        table = self._table
        form = f"{table.form}, {table.encoding.upper()}"
        scores = [metric.score for metric in rules.metrics if metric.score is not None]
        if any(_decimal(cell) == "," for score in scores for cell in table.values(score)):
            form += ", decimal comma"
        parts = [form, f"item {quoted(rules.item)}"]
        if rules.human is not None and rules.scale is not None:
            parts.append(f"human {quoted(rules.human)} ({rules.scale.name})")
        parts += [_metric_note(metric, rules.metric) for metric in rules.metrics]
        for role in ("annotator", "criterion", "judge", "explanation", "reason", "at_column"):
            if (column := getattr(rules, role)) is not None:
                parts.append(f"{role.removesuffix('_column')} {quoted(column)}")
        return f"{table.name}: {'; '.join(parts)}"


def _metric_note(metric: MetricRule, names: str | None) -> str:
    parts = []
    if metric.verdict is not None and metric.scale is not None:
        parts.append(f"verdict {quoted(metric.verdict)} ({metric.scale.name})")
    if metric.score is not None and metric.verdict is not None:
        parts.append(f"score {quoted(metric.score)}")
    elif metric.score is not None:
        limit = "the threshold of the settings" if metric.threshold is None else f"{metric.threshold:g}"
        limit = limit if metric.threshold_column is None else f"column {quoted(metric.threshold_column)}"
        sign = "<=" if metric.direction == "lower" else ">="
        parts.append(f"score {quoted(metric.score)} (passes {sign} {limit})")
    name = f"metric {quoted(metric.name or '')}" if names is None else f"metrics named by {quoted(names)}"
    return f"{name} from {' and '.join(parts)}"


def _thresholds(given: Sequence[str]) -> dict[str, float]:
    """Threshold by column; the empty name is for every other one."""
    thresholds: dict[str, float] = {}
    for text in given:
        column, _, value = text.rpartition("=")
        threshold = number(value)
        if threshold is None:
            raise ColumnError(f"--threshold: {quoted(text)} is not a number, nor COLUMN=NUMBER")
        thresholds[column] = threshold
    return thresholds


def _decimal(cell: str) -> str | None:
    """The decimal sign of a cell with a number."""
    return None if number(cell) is None else next((sign for sign in ",." if sign in cell), None)


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()
