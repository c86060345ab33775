"""`recount --csv` and `report --csv`."""

import csv
import io
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aggregator.facts import Annotation, Evaluation, Fact, encode
from eval_alignment.commands.recount import recount
from eval_alignment.commands.report import report

AT = 1_767_225_600_000
FACTS: list[Fact] = [
    *(Annotation(AT, f"a{n}", "=SUM(1)", f"i{n}", thumbs="up") for n in range(3)),
    *(Evaluation(AT, f"e{n}", f"i{n}", 'm, "n"', judge="v1", passed=n > 0) for n in range(3)),
    Annotation(AT, "b", "other", "i0", thumbs="up"),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join(map(encode, FACTS)))
    return str(file)


def rows(command: click.Command, *arguments: str, code: int = 0) -> list[dict[str, str]]:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == code
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_recount_writes_a_row_for_each_queue_criterion_and_metric(path: str) -> None:
    first, second = rows(recount, path, "--csv")
    # A name that a spreadsheet would run is guarded, a number is exact, and an undefined one is empty.
    assert (first["queue"], first["criterion"], first["metric"]) == ("'=SUM(1)", "overall", 'm, "n"')
    assert float(first["alignment"]) == 2 / 3
    assert float(first["bias"]) == pytest.approx(-1 / 3)
    assert [first[name] for name in ("comparisons", "tp", "fn", "tnr", "newest_judge")] == ["3", "2", "1", "", "v1"]
    assert first["gate_state"] == "undecided"
    assert second["queue"] == "other"


def test_report_writes_the_same_rows_for_a_queue_and_one_row_for_each_queue_without(path: str) -> None:
    assert rows(report, "other", "--file", path, "--csv") == rows(recount, path, "--csv")[1:]
    listed = rows(report, "--file", path, "--csv")
    assert [(row["queue"], row["comparisons"]) for row in listed] == [("'=SUM(1)", "3"), ("other", "1")]


def test_a_gate_with_csv_keeps_standard_output_for_the_table(path: str) -> None:
    assert len(rows(report, "other", "--file", path, "--csv", "--fail-under", "0.5", code=2)) == 1
