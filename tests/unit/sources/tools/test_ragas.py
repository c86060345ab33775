"""ragas: a column for each metric, failures as empty cells, and the time of the file."""

import pytest

from aggregator.facts import Evaluation
from sources.records import UnknownShapeError
from streams.events.decoder import MetricDefaults
from tests.support.sources import RECEIVED, facts_of, outcomes, skips_of, tool_source


def test_an_empty_cell_is_a_failure_and_others_are_scores() -> None:
    source = tool_source(
        "ragas", item="id", metrics={"m": {"threshold": 0.5}, "n": {"pass": ["good"], "fail": ["bad"]}}
    )
    table = b"user_input,m,n,id\nq,0.4,good,i-1\nq,,bad,i-2\nq,nan,None,i-3\n"
    facts = [fact for fact in facts_of(source, table) if isinstance(fact, Evaluation)]
    assert [(fact.item, fact.metric, fact.status, fact.passed) for fact in facts] == [
        ("i-1", "m", "ok", False), ("i-1", "n", "ok", True),
        ("i-2", "m", "error", None), ("i-2", "n", "ok", False),
        ("i-3", "m", "error", None), ("i-3", "n", "error", None),
    ]  # fmt: skip
    assert {fact.at for fact in facts} == {RECEIVED}


def test_a_threshold_of_the_deployment_makes_a_column_a_metric() -> None:
    source = tool_source("ragas", {"m": MetricDefaults(0.5)}, item="id")
    passed, failed = facts_of(source, b"user_input,m,id\nq,0.9,i-1\nq,,i-2\n")
    assert isinstance(passed, Evaluation) and passed.passed
    assert isinstance(failed, Evaluation) and failed.status == "error"


def test_columns_without_a_rule_are_metrics_where_they_have_numbers() -> None:
    """The data set, the index of pandas, and own columns with text are not metrics."""
    table = b",user_input,reference,m,note,id\n0,1,2,0.9,x,i-1\n1,1,2,,y,i-2\n"
    source = tool_source("ragas", item="id")
    assert skips_of(source, table) == {"no_rule": 1}
    assert len(outcomes(source, table)) == 1


def test_cells_may_have_quotes_lines_and_another_delimiter() -> None:
    source = tool_source("ragas", item="id", metrics={"m": {"threshold": 0.5}})
    (fact,) = facts_of(source, '\ufeffuser_input;m;id\r\n"a ""b""; c\nd";0.9;i-1\r\n'.encode())
    assert isinstance(fact, Evaluation) and (fact.item, fact.score) == ("i-1", 0.9)


def test_rows_need_an_item() -> None:
    assert skips_of(tool_source("ragas", metrics={"m": {"threshold": 1}}), b"user_input,m\nq,1\n") == {"no_item": 1}
    source = tool_source("ragas", item="id", metrics={"m": {"threshold": 1}})
    assert skips_of(source, b"user_input,m,id\nq,1,\n") == {"no_item": 1}
    with pytest.raises(UnknownShapeError, match="'id'"):
        outcomes(source, b"user_input,m\nq,1\n")


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"PK\x03\x04", b"\xff\xfe\xfd", b"{}", b"[]"])
def test_another_table_is_not_of_ragas(content: bytes) -> None:
    with pytest.raises(UnknownShapeError):
        outcomes(tool_source("ragas"), content)
