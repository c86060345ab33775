"""Roles of columns: those that are named, those that are recognised, and what is asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from eval_alignment.tables.roles import RECOGNISED, ColumnChoice, ColumnError, TableRules, rules_of
from sources.tables import Table, TableRow

AT = 1_764_000_000_000


def table(columns: Mapping[str, Sequence[str]], name: str = "rows.csv") -> Table:
    """A table with these columns."""
    names = list(columns)
    rows = [
        TableRow(f"line {number}", dict(zip(names, cells, strict=True)))
        for number, cells in enumerate(zip(*columns.values(), strict=True), start=2)
    ]
    return Table(name, "utf-8", "CSV, delimiter comma", names, rows)


def resolve(*tables: Table, alone: bool = True, **choice: Any) -> list[TableRules]:
    return rules_of(tables, ColumnChoice(**choice), queue="q", now=AT, alone=alone)


def problem(*tables: Table, **choice: Any) -> str:
    with pytest.raises(ColumnError) as raised:
        resolve(*tables, **choice)
    assert raised.value.exit_code.code == 64
    return str(raised.value)


SIMPLE = table({"id": ["1", "2"], "label": ["pass", "fail"], "passed": ["yes", "no"]})


@pytest.mark.parametrize("role", ["item", "human", "verdict", "annotator", "criterion", "metric", "judge"])
def test_every_name_in_the_list_is_recognised_in_any_case(role: str) -> None:
    plain = {"item": "item", "human": "human", "verdict": "verdict"}
    values = {"item": "x", "human": "pass", "verdict": "pass"}
    for name in RECOGNISED[role]:
        columns = {**plain, role: name.upper().replace(" ", "-")}
        read = Table("t", "utf-8", "CSV", list(columns.values()))
        read.rows = [TableRow("line 2", {column: values.get(each, "n") for each, column in columns.items()})]
        (resolved,) = resolve(read)
        rules = resolved.rules
        found = rules.metrics[0].verdict if role == "verdict" else getattr(rules, role)
        assert found == columns[role]


def test_what_was_recognised_is_one_line() -> None:
    (resolved,) = resolve(
        table({"item": ["1"], "human": ["5"], "human2": ["4"], "score": ["0,5"], "annotator": ["x"]}),
        threshold=["0.5"], direction="lower", labels="stars", criterion_name="tone",
    )  # fmt: skip
    assert resolved.note == (
        "rows.csv: CSV, delimiter comma, UTF-8, decimal comma; item 'item'; human 'human' (stars from 1 to 5); "
        "metric 'score' from score 'score' (passes <= 0.5); annotator 'annotator'"
    )


def test_the_metric_is_named_by_its_column_or_as_stated() -> None:
    assert resolve(SIMPLE)[0].rules.metrics[0].name == "passed"
    assert resolve(SIMPLE, metric_name="tone")[0].rules.metrics[0].name == "tone"
    long = table({"id": ["1"], "label": ["pass"], "passed": ["no"], "metric": ["tone"], "criterion": ["Tone"]})
    assert resolve(long)[0].rules.metric == "metric"
    assert resolve(long, metric_name="x")[0].rules.metric is None


def test_the_verdict_of_a_row_with_a_criterion_is_about_that_criterion() -> None:
    (resolved,) = resolve(table({"id": ["1"], "label": ["pass"], "passed": ["no"], "criterion": ["tone"]}))
    assert (resolved.rules.metric, resolved.rules.criterion) == ("criterion", "criterion")
    (resolved,) = resolve(
        table({"id": ["1"], "label": ["pass"], "passed": ["no"], "criterion": ["tone"]}), criterion_name="all"
    )
    assert (resolved.rules.metric, resolved.rules.criterion) == (None, None)


def test_with_a_threshold_a_score_decides_and_not_a_verdict_that_was_not_named() -> None:
    both = table({"id": ["1"], "label": ["pass"], "passed": ["no"], "score": ["0.7"]})
    (metric,) = resolve(both)[0].rules.metrics
    assert (metric.verdict, metric.score) == ("passed", None)
    (metric,) = resolve(both, threshold=["0,5"])[0].rules.metrics
    assert (metric.verdict, metric.score, metric.threshold) == (None, "score", 0.5)
    (metric,) = resolve(both, verdict="passed", score="score")[0].rules.metrics
    assert (metric.verdict, metric.score) == ("passed", "score")


def test_metric_columns_are_scores_where_they_have_a_threshold() -> None:
    read = Table("t", "utf-8", "CSV", ["id", "label", "a", "b,c", "d"])
    read.rows = [TableRow("line 2", {"id": "1", "label": "pass", "a": "0.7", "b,c": "yes", "d": "3"})]
    (resolved,) = resolve(read, metric_columns=["a, d", "b,c"], threshold=["a=0.5", "d=4"])
    assert [(each.name, each.score, each.threshold, each.verdict) for each in resolved.rules.metrics] == [
        ("a", "a", 0.5, None),
        ("d", "d", 4.0, None),
        ("b,c", None, None, "b,c"),
    ]


def test_labels_and_verdicts_may_be_in_two_files() -> None:
    people = table({"id": ["1"], "label": ["pass"], "comment": ["x"], "reason": ["y"]}, "people.csv")
    judge = table({"item": ["1"], "score": ["0.7"], "comment": ["x"], "reason": ["y"]}, "judge.csv")
    one, two = (each.rules for each in resolve(people, judge, threshold=["0.5"]))
    assert (one.human, one.explanation, one.metrics, one.reason) == ("label", "comment", [], None)
    assert (two.human, two.explanation, two.metrics[0].score, two.reason) == (None, None, "score", "reason")


def test_for_a_load_one_side_is_enough_and_settings_may_have_the_threshold() -> None:
    (resolved,) = resolve(table({"id": ["1"], "score": ["0.7"]}), alone=False)
    assert resolved.rules.metrics[0].threshold is None
    assert "the threshold of the settings" in resolved.note


SCALE = "values {} do not show their scale: type"
ONE, FRACTION = "'1'", "'0.4'"
ASKED: list[tuple[str, dict[str, Any], str]] = [
    (
        "a=1 label=pass",
        {},
        "rows.csv: has no column that is surely the item: type --item COLUMN; columns: 'a' ('1'); 'label' ('pass')",
    ),
    (
        "id=1 trace_id=2",
        {},
        "rows.csv: more than one column may be the item: type --item 'id' or 'trace_id'",
    ),
    (
        "id=1|2|3|4 x=|||",
        {},
        (
            "rows.csv: has neither human labels nor a metric: type --human COLUMN, --verdict COLUMN, or --score COLUMN "
            "--threshold NUMBER; columns: 'id' ('1', '2', '3', ...); 'x' (empty)"
        ),
    ),
    (
        "id=1 label=pass text=hi judge=fail",
        {},
        (
            "no column is surely the metric: type --verdict COLUMN, such as --verdict 'judge', or --score COLUMN "
            "--threshold NUMBER; columns: "
        ),
    ),
    (
        "id=1 people=pass passed=fail",
        {},
        "no column is surely the human label: type --human COLUMN, such as --human 'people'; columns: ",
    ),
    (
        "id=1 label=pass passed=no",
        {"human": "lebal"},
        "--human: column 'lebal' not found; existing: 'label', ",
    ),
    (
        "id=1 label=pass passed=no",
        {"metric": "tone"},
        (
            "--metric: column 'tone' not found; existing: 'label', 'passed', 'id'; for a fixed name, type "
            "--metric-name 'tone'"
        ),
    ),
    (
        "id=1 label=1 passed=no",
        {},
        (
            f"rows.csv: column 'label': {SCALE.format(ONE)} --labels thumbs, stars, pass-at=NUMBER or "
            "VALUE=pass,VALUE=fail"
        ),
    ),
    (
        "id=1 label=4 passed=no",
        {"labels": "four"},
        "--labels: 'four' is not a scale",
    ),
    (
        "id=1 label=pass passed=0.4",
        {},
        (
            f"rows.csv: column 'passed': {SCALE.format(FRACTION)} --verdict-labels thumbs, pass-at=NUMBER or "
            "VALUE=pass,VALUE=fail; for scores type --score 'passed' --threshold NUMBER"
        ),
    ),
    (
        "id=1 label=pass m=0.4",
        {"metric_columns": ["m"]},
        (
            f"rows.csv: column 'm': {SCALE.format(FRACTION)} --verdict-labels thumbs, pass-at=NUMBER or "
            "VALUE=pass,VALUE=fail; for scores type --threshold NUMBER"
        ),
    ),
    (
        "id=1 label=pass passed=4",
        {"verdict_labels": "stars"},
        "rows.csv: column 'passed' has verdicts, which are pass or fail: type --verdict-labels without stars",
    ),
    (
        "id=1 label=pass score=0.4",
        {},
        "rows.csv: column 'score' has scores: type --threshold NUMBER, the score that decides",
    ),
    (
        "id=1 label=pass score=0.4",
        {"threshold": ["low"]},
        "--threshold: 'low' is not a number, nor COLUMN=NUMBER",
    ),
    (
        "id=1|2 label=pass|fail score=0.4|0,5",
        {"threshold": ["1"]},
        "rows.csv: column 'score' has numbers with decimal points and with commas: write them alike",
    ),
]
"""Columns with their values, the choice, and the start of the message."""


@pytest.mark.parametrize(("columns", "choice", "message"), ASKED)
def test_what_is_not_sure_is_asked_for(columns: str, choice: dict[str, Any], message: str) -> None:
    split = (column.partition("=") for column in columns.split())
    assert problem(table({name: cells.split("|") for name, _, cells in split}), **choice).startswith(message)


def test_a_named_column_may_differ_in_case_where_one_does() -> None:
    assert resolve(table({"Id": ["1"], "label": ["pass"], "passed": ["no"]}), item="ID")[0].rules.item == "Id"
    assert problem(table({"Key": ["1"], "KEY": ["1"], "label": ["pass"]}), item="key").startswith(
        "--item: column 'key' not found"
    )


def test_a_column_that_exists_twice_is_refused_only_where_it_is_used() -> None:
    read = Table("t", "utf-8", "CSV", ["id", "label", "passed", "text", "text", ""])
    read.rows = [TableRow("line 2", {"id": "1", "label": "pass", "passed": "no", "text": "x"})]
    assert resolve(read)
    read.columns.append("label")
    assert problem(read, human="label") == "t: 2 columns are called 'label': rename one"
    assert problem(read) == "t: 2 columns are called 'label': rename one"


def test_a_message_lists_a_bounded_number_of_columns() -> None:
    message = problem(table({f"c{number}": ["x"] for number in range(5_000)}))
    assert message.endswith("'c29' ('x') and 4970 more")


def test_options_that_exclude_each_other_are_named() -> None:
    for choice in ({"verdict": "passed"}, {"score": "passed"}, {"metric": "passed"}, {"metric_name": "x"}):
        message = problem(SIMPLE, metric_columns=["passed"], **choice)
        assert message.startswith("--metric-columns cannot be combined with --")
    for name in ("metric", "criterion", "judge"):
        message = problem(SIMPLE, **{name: "passed", f"{name}_name": "x"})
        assert message == f"--{name} cannot be combined with --{name}-name"
    assert problem(SIMPLE, threshold=["tone=0.5"]).startswith("--threshold: column 'tone' not found")
    assert problem(SIMPLE, threshold=["0.5"]).startswith("--threshold needs a column of scores: type --score COLUMN")
