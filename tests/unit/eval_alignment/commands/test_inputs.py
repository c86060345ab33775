"""`recount` and `load` of inputs that are empty, one-sided or in another format."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aggregator.facts import Annotation, Evaluation, encode
from eval_alignment.commands.recount import recount
from eval_alignment.commands.report import report

AT = 1_767_225_600_000
ANNOTATION = encode(Annotation(AT, "a", "q", "i", thumbs="up"))
EVALUATION = encode(Evaluation(AT, "e", "i", "m", passed=True))


def call(path: Path, content: bytes, *options: str) -> Result:
    path.write_bytes(content)
    return CliRunner().invoke(recount, [str(path), *options])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no events in the input"),
        (b"\n\n", "no events in the input"),
        (EVALUATION, "no annotations in the input"),
        (ANNOTATION, "no evaluations in the input"),
        (encode(Annotation(AT, "a", "q", "i", thumbs="up")) + b"\n" + EVALUATION, ""),
    ],
)
def test_recount_reports_an_empty_or_one_sided_input(tmp_path: Path, content: bytes, message: str) -> None:
    result = call(tmp_path / "f", content)
    assert (result.exit_code, result.stderr.partition(":")[0].strip()) == (0, message)


def test_recount_of_invalid_lines_only_reports_the_lines(tmp_path: Path) -> None:
    result = call(tmp_path / "f", b"no JSON\n")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_recount_of_an_array_reports_it_in_one_line(tmp_path: Path) -> None:
    result = call(tmp_path / "f", b"[\n" + ANNOTATION + b",\n" + EVALUATION + b"\n]\n")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "is a JSON array, expected one JSON object per line" in result.stderr


def test_a_damaged_archive_is_an_unreadable_input(tmp_path: Path) -> None:
    damaged = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff"
    assert "cannot read the input" in call(tmp_path / "f", damaged).stderr


def test_a_gate_on_a_file_of_another_format_has_no_document(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"id,item\n")
    result = CliRunner().invoke(report, ["q", "--file", str(path), "--fail-under", "0.5"])
    assert (result.exit_code, "is CSV" in result.stderr) == (3, True)
