"""Tables and JSON of any shape, with columns and paths of the settings."""

from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation
from sources.records import Malformed, Skip, SkipReason, UnknownShapeError, UnruledName
from sources.registry import source_problems
from sources.rules import SourceSettings
from tests.support.sources import RECEIVED, facts_of, outcomes, skips_of, tool_source

RATED = {"item": "trace.id", "rating": "grade", "criterion": "what", "at": "when"}
TABLE = {"item": "trace", "rating": "grade"}


def rated(**config: Any) -> Any:
    return tool_source(
        **{"tool": "json", "queue": "q", "columns": RATED, "criteria": {"tone": {"rating": "stars"}}, **config}
    )


def test_paths_lead_to_the_records_and_their_fields() -> None:
    document = {
        "data": {
            "rows": [
                {"trace": {"id": 12}, "grade": 4, "what": "tone", "when": 1795428900123},
                {"trace": {"id": "t"}, "grade": 9, "what": "tone", "when": "2026-11-23 10:15:00.1239"},
                {"trace": {"id": "t"}, "grade": None, "what": "tone"},
            ]
        }
    }
    source = rated(records="data.rows")
    assert facts_of(source, document) == [
        Annotation(1795428900123, "json:12/tone/@1795428900123", "q", "12", criterion="tone", stars=4)
    ]
    assert skips_of(source, document) == {"off_scale": 1, "not_submitted": 1}


def test_a_record_may_be_the_document_or_in_a_list_of_it() -> None:
    record = {"trace": {"id": "t"}, "grade": 2, "what": "tone"}
    assert len(facts_of(rated(), record)) == 1
    assert len(facts_of(rated(), [record, {**record, "trace": {"id": "u"}}])) == 2
    with pytest.raises(UnknownShapeError, match="`rows`"):
        outcomes(rated(records="rows"), {"data": []})


def test_a_record_with_an_id_has_rating_and_verdict() -> None:
    columns = {"id": "key", "item": "i", "rating": "grade", "metric": "m", "score": "s", "threshold": "t"}
    source = rated(columns=columns, criteria={"overall": {"rating": {"pass_at": 3, "direction": "lower"}}})
    record = {"key": 7, "i": "x", "grade": 2, "m": "len", "s": 1, "t": 2}
    assert facts_of(source, record) == [
        Annotation(RECEIVED, f"json:7@{RECEIVED}", "q", "x", thumbs="up"),
        Evaluation(RECEIVED, f"json:7/len@{RECEIVED}", "x", "len", score=1.0, threshold=2.0, passed=False),
    ]
    [gone] = facts_of(source, {**record, "grade": None}, RECEIVED + 9)[1:]
    assert isinstance(gone, Annotation) and gone.deleted


def test_an_id_that_two_records_have_is_refused_the_second_time() -> None:
    source = tool_source("csv", queue="q", columns={**TABLE, "id": "n"}, criteria={"overall": {"rating": "stars"}})
    first, second = outcomes(source, b"n,trace,grade\n1,a,4\n1,b,5\n")
    assert isinstance(first.result, Annotation)
    assert second.result == Malformed("line 3: id '1' is that of line 2")


@pytest.mark.parametrize(
    ("content", "config"),
    [
        (b"trace\tgrade\nt\t4\n", {}),
        (b"trace|grade\nt|4\n", {}),
        (b"trace;grade\nt;4,0\n", {"decimal": ","}),
        (b"\xef\xbb\xbfsep=;\ntrace;grade\n t ;4\n", {"delimiter": ";"}),
        (b'{"trace": "t", "grade": 4}\n', {}),
        ("trace,grade\nt,4\n".encode("utf-16"), {}),
    ],
)
def test_tables_have_many_forms(content: bytes, config: dict[str, Any]) -> None:
    source = tool_source("csv", queue="q", columns=TABLE, criteria={"overall": {"rating": "stars"}}, **config)
    [fact] = facts_of(source, content)
    assert isinstance(fact, Annotation) and (fact.item.strip(), fact.stars) == ("t", 4)


def test_a_decimal_comma_is_one_only_by_the_settings() -> None:
    source = tool_source("csv", queue="q", columns=TABLE, criteria={"overall": {"rating": "stars"}})
    assert skips_of(source, b"trace;grade\nt;4,0\n") == {"off_scale": 1}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"t,1795428900,tone,0.5", "line 2: at is in seconds"),
        (b"t," + b"9" * 5_000 + b",tone,0.5", "line 2: a time is not RFC 3339"),
        (b"t,yesterday,tone,0.5", "line 2: a time is not RFC 3339"),
        (b"t,,tone,high", "line 2: score is not a number"),
        (b"t,,tone", "line 2: has 3 cells"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_and_the_others_count(row: bytes, why: str) -> None:
    columns = {"item": "i", "at": "t", "metric": "m", "score": "s"}
    source = tool_source("csv", columns=columns, metrics={"tone": {"threshold": 0.4}})
    results = [each.result for each in outcomes(source, b"i,t,m,s\n" + row + b"\nt,,tone,0.5\n")]
    [malformed] = [result for result in results if isinstance(result, Malformed)]
    assert malformed.why.startswith(why)
    assert len([result for result in results if isinstance(result, Evaluation)]) == 1


def test_a_verdict_without_a_rule_and_a_row_without_a_verdict_are_skipped() -> None:
    columns = {"item": "i", "metric": "m", "score": "s", "verdict": "v"}
    source = tool_source("csv", columns=columns)
    assert skips_of(source, b"i,m,s,v\nt,tone,,PASS\nt,tone,,\n,tone,1,\n") == {
        "no_rule": 1,
        "not_run": 1,
        "no_item": 1,
    }


def test_a_table_without_a_column_of_the_settings_is_another_table() -> None:
    source = tool_source("csv", queue="q", columns=TABLE)
    with pytest.raises(UnknownShapeError, match="column 'grade' is not found; existing: trace, rating"):
        outcomes(source, b"trace,rating\nt,4\n")


def test_an_unknown_level_is_rejected_like_that_of_any_event() -> None:
    source = tool_source("csv", queue="q", columns=TABLE, level="thread", criteria={"overall": {"rating": "stars"}})
    [fact] = facts_of(source, b"trace,grade\nt,4\n")
    assert fact.level == "thread"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"tool": "csv", "columns": {"rating": "r"}}, "sources.s.columns.item is required"),
        ({"tool": "csv", "columns": {"item": "r"}}, "sources.s.columns.rating (of people) or columns.metric"),
        ({"tool": "json", "columns": {"item": "a..b", "rating": "r"}}, "sources.s.'a..b' is not JMESPath"),
        ({"tool": "json", "records": "[", "columns": {"item": "a", "rating": "r"}}, "sources.s.'[' is not JMESPath"),
    ],
)
def test_incomplete_settings_are_named(settings: dict[str, Any], problem: str) -> None:
    assert next(source_problems({"s": SourceSettings.model_validate(settings)})).startswith(problem)


def test_skips_name_what_to_configure() -> None:
    [outcome] = outcomes(rated(criteria={}), {"trace": {"id": "t"}, "grade": 4, "what": "tone"})
    why = "'tone' has no rule: set its `rating` under `criteria`"
    assert outcome.result == Skip(SkipReason.NO_RULE, why, UnruledName("human", "tone", "4"))
