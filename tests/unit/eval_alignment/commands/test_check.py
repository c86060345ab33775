"""`check`: the same numbers as a recount of the events, exit codes, and what is reported about the input."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.gate import GateLimits, Looks
from eval_alignment.commands.check import check
from eval_alignment.library import recount
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from tests.support.html import read
from tests.support.processes import isolated

HEADER = "id,label,passed\n"


def call(*arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(check, arguments, input=stdin)


def document(*arguments: str, stdin: str | bytes = "") -> dict[str, Any]:
    result = call("-", "--json", *arguments, stdin=stdin)
    assert result.stdout, result.output
    read: dict[str, Any] = json.loads(result.stdout)
    return read


def rows(agree: int, disagree: int) -> str:
    lines = [f"{number},{'pass' if number % 2 else 'fail'}," for number in range(agree + disagree)]
    verdicts = [number % 2 == (number < agree) for number in range(agree + disagree)]
    return HEADER + "".join(f"{line}{str(verdict).lower()}\n" for line, verdict in zip(lines, verdicts, strict=True))


# 36 of 40 have the Wilson interval 0.7695 to 0.9604.
@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["0.76"], 0, "pass: overall / passed: lower bound (one look) 0.7695, limit 0.76, 40 items, minimum 30"),
        (["0.78"], 1, "below: overall / passed: lower bound (one look) 0.7695, limit 0.78, 40 items, minimum 30"),
        (["0.9", "--bound", "point"], 0, "pass: overall / passed: alignment 0.9000, limit 0.9, 40 items, minimum 30"),
        (["0.1", "--min-items", "41"], 2, "too few: overall / passed: "),
    ],
)
def test_the_gate_has_the_exit_codes_of_report(options: list[str], code: int, line: str) -> None:
    result = call("-", "--fail-under", *options, stdin=rows(36, 4))
    assert result.stdout.startswith(line)
    assert result.exit_code == code


def test_a_row_that_cannot_be_read_is_named_and_ends_with_1_but_not_a_gate() -> None:
    table = rows(40, 0) + "x,pass,perhaps\n,pass,true\ny,pass\n"
    result = call("-", stdin=table)
    assert result.exit_code == 1
    assert "standard input: line 42: column 'passed': 'perhaps' is not a label, expected pass or fail" in result.stderr
    assert "standard input: line 43: column 'id': is empty, expected the id of the item" in result.stderr
    assert "standard input: line 44: has 2 cells, the header has 3" in result.stderr
    assert call("-", "--fail-under", "0.8", stdin=table).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (["-"], b"", 3, "standard input is empty"),
        (["-"], b"\x1f\x8b\x08\x00broken", 3, "cannot read the input: "),
        (["-", "--fail-under", "0.8"], b"PK\x03\x04", 3, "is a zip archive"),
        (["-", "--human", "lebal"], HEADER.encode(), 64, "--human: column 'lebal' not found"),
        (["-"], (HEADER + "a,4,yes\n").encode(), 64, "column 'label': values '4' do not show their scale"),
        (["-", "--fail-under", "2"], HEADER.encode(), 2, "'2' is not a number from 0 to 1"),
    ],
)
def test_what_cannot_be_read_or_is_not_known(arguments: list[str], stdin: bytes, code: int, message: str) -> None:
    result = CliRunner().invoke(check, arguments, input=stdin)
    assert message in str(result.exception) + result.stderr
    assert getattr(result.exception, "exit_code", None) is None or result.exception.exit_code.code == code  # type: ignore[union-attr]
    assert result.stdout == ""


def test_empty_cells_are_skipped_and_never_accepted() -> None:
    table = HEADER + "a,pass,yes\nb,,yes\nc,fail,\nd, ,\n,,\n"
    result = call("-", stdin=table)
    assert (
        "4 rows and 1 blank: accepted 2 labels and 2 verdicts; 4 skipped (2 not labelled, 2 not judged, 0 repeated); "
        "0 invalid" in result.stderr
    )
    assert result.exit_code == 0
    read = document(stdin=table)
    assert read["input"] == {
        "rows": 4, "annotations": 2, "evaluations": 2, "not_labelled": 2, "not_judged": 2, "repeated": 0, "skipped": 4,
        "invalid": 0,
    }  # fmt: skip
    assert (read["cards"]["comparisons"], read["cards"]["annotations"]) == (1, 2)


def test_ids_stay_as_they_are() -> None:
    ids = ["007", "7", "NA", "null", "1e3", "1000", " x", "x", "nan", "é", "e\u0301"]
    table = HEADER + "".join(f"{each},pass,yes\n" for each in ids)
    assert document(stdin=table)["cards"]["items_compared"] == len(ids)


def test_long_format_with_several_annotators() -> None:
    table = "item,annotator,stars,score,reason\na,x,5,0.9,good\na,y,2,0.90,\nb,x,1,0.2,\nb,y,4,0.2,\n"
    read = document("--threshold", "0.5", stdin=table)
    (metric,) = read["criteria"][0]["metrics"]
    assert (metric["metric"], metric["comparisons"], metric["items_compared"]) == ("score", 4, 2)
    assert [metric[name] for name in ("tp", "fn", "fp", "tn")] == [1, 1, 1, 1]
    assert read["input"]["repeated"] == 2


def test_two_rows_of_one_time_that_contradict_each_other_are_an_error() -> None:
    table = HEADER + "a,pass,yes\na,fail,yes\na,pass,no\na,pass,yes\n"
    result = call("-", stdin=table)
    assert result.exit_code == 1
    assert "line 3: item 'a' has another label in standard input line 2: name the column of" in result.stderr
    assert "line 4: item 'a' has another verdict in standard input line 2: name the column of" in result.stderr
    same = "id,label,passed,at\na,pass,yes,2026-03-01\na,fail,yes,2026-03-01\n"
    assert "line 3: item 'a' has another label" in call("-", stdin=same).stderr
    timed = "id,label,passed,at\na,pass,yes,2026-03-01\na,fail,yes,2026-03-02\n"
    assert call("-", stdin=timed).exit_code == 0
    (metric,) = document(stdin=timed)["criteria"][0]["metrics"]
    assert (metric["fp"], metric["comparisons"]) == (1, 1)


def test_the_verdict_of_a_row_is_compared_with_the_criterion_of_that_row() -> None:
    table = "id,criterion,label,passed\n" + "".join(
        f"{number},{criterion},pass,{'yes' if criterion == 'tone' else 'no'}\n"
        for number in range(40) for criterion in ("tone", "facts")
    )  # fmt: skip
    result = call("-", "--fail-under", "0.8", stdin=table)
    assert result.stdout.startswith("below: facts / facts: ")
    assert len(result.stdout.splitlines()) == 1
    assert document(stdin=table)["cards"]["comparisons"] == 80


def test_labels_and_scores_of_two_files_are_compared(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("item,thumbs\na,up\nb,down\n")
    (tmp_path / "scores.tsv").write_text("item\tscore\na\t0.9\nb\t0.8\nc\t0.1\n")
    paths = [str(tmp_path / "labels.csv"), str(tmp_path / "scores.tsv")]
    result = call(*paths, "--threshold", "0.5", "--json")
    (metric,) = json.loads(result.stdout)["criteria"][0]["metrics"]
    assert (metric["tp"], metric["fp"]) == (1, 1)


def test_an_event_that_the_decoder_rejects_is_named_and_not_accepted() -> None:
    table = HEADER + f"{'x' * 300},pass,yes\nb,pass,yes\n"
    result = call("-", "--json", stdin=table)
    assert result.exit_code == 1
    assert "standard input: line 2: invalid_name: item has 300 characters" in result.stderr
    assert json.loads(result.stdout)["input"]["annotations"] == 1
    late = call("-", "--at", "2999-01-01", stdin=HEADER + "b,pass,yes\n")
    assert (late.exit_code, "line 2: future_timestamp: " in late.stderr) == (1, True)


def test_a_table_without_rows_is_reported() -> None:
    result = call("-", stdin=HEADER)
    assert "nothing to compare: no row has a label" in result.stderr
    assert call("-", "--fail-under", "0.5", stdin=HEADER).exit_code == 2


ROW = st.tuples(
    st.text("ab0", min_size=1, max_size=2),
    st.sampled_from(["x", "y"]),
    st.sampled_from(["", "1", "2", "3", "4", "5"]),
    st.sampled_from(["", "0.1", "0.5", "0.75", "1"]),
)


@settings(deadline=None)
@given(st.lists(ROW, unique_by=lambda row: row[:2]), st.sampled_from([",", ";", "\t"]))
def test_a_table_counts_as_its_events_do(table: list[tuple[str, str, str, str]], delimiter: str) -> None:
    scores = {item: score for item, _, _, score in reversed(table) if score}
    table = [(item, who, stars, scores.get(item, "") if score else "") for item, who, stars, score in table]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("item", "annotator", "stars", "score"), *table])
    arguments = ["--labels", "stars", "--threshold", "0.5", "--at", "2026-03-01", "--queue", "q"]
    read = document(*arguments, "--delimiter", delimiter, stdin=out.getvalue())
    del read["input"]
    at = "2026-03-01T00:00:00Z"
    events = []
    for item, who, stars, score in table:
        if stars:
            annotation = {"queue": "q", "item": item, "annotator": who, "stars": int(stars)}
            events.append({"id": f"{item} {who}", "at": at, **annotation})
        if score:
            evaluation = {"item": item, "metric": "score", "score": float(score), "threshold": 0.5}
            events.append({"id": item, "at": at, **evaluation})
    rules = CountingRules(limits=GateLimits(looks=Looks.ONE))
    assert read == json.loads(json.dumps(recount(events).document("q", rules=rules)))


def test_the_policy_and_the_pass_mark_are_options() -> None:
    table = "item,annotator,stars,passed,at\na,x,5,yes,2026-03-01\na,y,3,no,2026-03-02\n"
    read = document("--policy", "latest", "--pass-stars", "4", stdin=table)
    (metric,) = read["criteria"][0]["metrics"]
    assert (metric["tn"], metric["comparisons"], read["pass_stars"]) == (1, 1, 4)


def test_a_criterion_may_have_a_pass_mark_of_its_own() -> None:
    table = "item,criterion,stars,passed\na,tone,4,yes\na,overall,4,yes\n"
    read = document("--labels", "stars", "--pass-stars", "2", "--pass-stars", "tone=5", stdin=table)
    found = {each["criterion"]: (each["metrics"][0]["tp"], each.get("pass_stars")) for each in read["criteria"]}
    assert (found, read["pass_stars"]) == ({"tone": (0, 5), "overall": (1, None)}, 2)


@pytest.mark.parametrize("value", ["6", "0", "tone=", "=4", "tone", "tone=x"])
def test_a_pass_mark_is_a_number_of_stars(value: str) -> None:
    result = call("-", "--pass-stars", value, stdin="item,stars,passed\na,4,yes\n")
    assert (result.exit_code, "neither a number of stars" in result.stderr) == (2, True)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2))
def test_the_matrix_is_that_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    table = HEADER + "".join(f"{number},{human},{verdict}\n" for number, (human, verdict) in enumerate(pairs))
    (metric,) = document(stdin=table)["criteria"][0]["metrics"]
    people, judge = zip(*pairs, strict=True)
    (tn, fp), (fn, tp) = confusion_matrix(people, judge, labels=[False, True]).tolist()
    assert [metric[name] for name in ("tp", "fn", "fp", "tn")] == [tp, fn, fp, tn]
    if metric["kappa"] is not None:
        assert metric["kappa"] == pytest.approx(cohen_kappa_score(people, judge), abs=1e-12)


def test_it_loads_no_kafka_client_settings_or_web_server(tmp_path: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from eval_alignment.main import cli; "
        "CliRunner().invoke(cli, ['check', '-'], input='id,label,passed\\na,pass,yes\\n'); "
        "names = ('faust', 'aiokafka', 'sqlite3', 'starlette', 'httpx', 'pydantic', 'jinja2'); "
        "print([name for name in names if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=isolated(tmp_path), cwd=tmp_path
    )
    assert output.stdout.strip() == b"[]"


def test_the_report_has_the_numbers_of_the_json_and_the_outcome_of_the_gate(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    result = call("-", "--json", "--html", str(path), "--fail-under", "0.8", stdin=rows(30, 10) + "x,,yes\n")
    (metric,) = json.loads(result.stdout)["criteria"][0]["metrics"]
    page = read(path.read_text(encoding="utf-8"))
    article = page.one("article")
    for name in ("tp", "fn", "fp", "tn"):
        assert article.one(data_value=name).words == str(metric[name])
    assert {each.words.split()[0] for each in article.all(data_value="kappa")} == {f"{metric['kappa']:.2f}"}
    for text in ("Below the limit", "overall / passed: lower bound", "not labelled", "standard input: CSV"):
        assert text in page.text
    assert result.exit_code == 1
    assert "<script" not in path.read_text()
    assert "://" not in path.read_text()


def test_a_report_that_cannot_be_written_is_no_outcome_of_the_gate(tmp_path: Path) -> None:
    result = call("-", "--html", str(tmp_path / "missing" / "report.html"), "--fail-under", "0", stdin=rows(30, 10))
    assert isinstance(result.exception, EvalAlignmentError)
    assert (result.exception.exit_code, "cannot write the report: " in str(result.exception)) == (
        ExitCode.UNREACHABLE,
        True,
    )
