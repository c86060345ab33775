"""`recount` and `load` of inputs that are empty, one-sided or in another format."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner, Result

from aggregator.facts import Annotation, Evaluation, Fact, encode
from eval_alignment.commands.recount import recount
from eval_alignment.commands.report import report
from eval_alignment.input_checks import missing_side
from eval_alignment.row_checks import RowChecks
from streams.events.decoder import Kind

AT = 1_767_225_600_000
ANNOTATION = encode(Annotation(AT, "a", "q", "i", thumbs="up"))
THUMBS: Sequence[Literal["up", "down"]] = ("up", "down")
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


def test_recount_reports_each_unknown_field_with_the_nearest_name(tmp_path: Path) -> None:
    unknown: list[dict[str, object]] = [{}, {"criteria": "tone"}, {"mood\u202e": 1}]
    lines = [
        json.dumps({**json.loads(ANNOTATION), "id": str(number), "annotater": "p1", **extra})
        for number, extra in enumerate(unknown)
    ]
    result = call(tmp_path / "f", "\n".join(lines).encode() + b"\n" + EVALUATION)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "unknown field `annotater` is ignored in 3 annotations: did you mean `annotator`?",
        "unknown field `criteria` is ignored in 1 annotation: did you mean `criterion`?",
        r"unknown field `mood\u202e` is ignored in 1 annotation",
    ]


def test_unknown_fields_beyond_twenty_names_are_counted_together(tmp_path: Path) -> None:
    event = json.dumps({**json.loads(ANNOTATION), **{f"x{number}": 1 for number in range(25)}}).encode()
    lines = call(tmp_path / "f", event + b"\n" + EVALUATION).stderr.splitlines()
    assert (len(lines), lines[-1]) == (21, "fields with other unknown names are ignored 5 times")


def test_recount_reports_events_with_the_same_time_and_id_but_other_content(tmp_path: Path) -> None:
    up, down = (encode(Annotation(AT, "a", "q", "i", thumbs=thumbs)) for thumbs in THUMBS)
    path = tmp_path / "f"
    assert call(path, b"\n".join([up, up, EVALUATION])).stderr == ""
    (line,) = call(path, b"\n".join([up, EVALUATION, b"", down, down])).stderr.splitlines()
    assert line.startswith("2 events have the `at` and `id` of an earlier event of the same row, and other content: ")
    assert f"{path}:1 and {path}:4, {path}:1 and {path}:5;" in line


def test_conflicts_look_back_as_far_as_they_reach() -> None:
    for between, found in ((1, 1), (2, 0)):
        checks = RowChecks(reach=2)
        first, last = (Annotation(AT, "a", "q", "i", thumbs=thumbs) for thumbs in THUMBS)
        others = [Annotation(AT, "a", "q", f"i{number}", thumbs="up") for number in range(between)]
        for number, fact in enumerate([first, *others, last], start=1):
            checks.add(fact, f"f:{number}")
        assert len(list(checks.warnings())) == found


def warnings(*facts: Fact) -> list[str]:
    checks = RowChecks()
    for number, fact in enumerate(facts, start=1):
        checks.add(fact, f"f:{number}")
    return list(checks.warnings())


def test_a_correction_with_an_older_time_is_reported() -> None:
    newer, older = Annotation(AT, "b", "q", "i", thumbs="up"), Annotation(AT - 1, "c", "q", "i", thumbs="down")
    assert warnings(older, newer) == []
    (line,) = warnings(newer, older, newer, older)
    assert line.startswith("2 events are older than an earlier event of the same row: f:2 after f:1, f:4 after f:1; ")


def test_a_deletion_without_a_row_is_reported() -> None:
    rated = Annotation(AT, "a", "q", "i", annotator="ann", thumbs="up")
    gone = Annotation(AT + 1, "b", "q", "i", annotator="ann", deleted=True)
    for facts in ((rated, gone), (gone, rated), (gone, gone, rated)):
        assert [line for line in warnings(*facts) if "delete" in line] == []
    # Deletes a row of an annotator without a name.
    (line,) = warnings(rated, Annotation(AT + 1, "b", "q", "i", deleted=True))
    assert line.startswith("1 event deletes a row of which the input has no other event: f:2; ")


def test_a_deletion_of_a_failed_evaluation_has_its_row() -> None:
    failed = Evaluation(AT, "a", "i", "m", status="error")
    gone = Evaluation(AT + 1, "b", "i", "m", deleted=True)
    assert warnings(failed, gone) == warnings(gone, failed) == []
    assert len(warnings(Evaluation(AT, "a", "i", "other", status="error"), gone)) == 1


def test_one_side_alone_may_belong_to_other_inputs_of_load() -> None:
    assert missing_side({Kind.EVALUATION}, 0, more_inputs=True) == (
        "no annotations in the input: its events are compared with annotations of other inputs only"
    )
    assert missing_side({Kind.QUEUE_ITEM}, 0, more_inputs=True) is None
    assert missing_side((), 0, more_inputs=True) is not None


def test_recount_of_invalid_lines_only_reports_the_lines_and_what_reads_other_rows(tmp_path: Path) -> None:
    result = call(tmp_path / "f", b'{"id":1,"label":"pass","passed":true}\nno JSON\n')
    assert result.exit_code == 1
    assert [line.split(":")[1] for line in result.stderr.splitlines()[:2]] == ["1", "2"]
    assert result.stderr.splitlines()[2:] == [
        "2 invalid lines: 1 missing_field, 1 malformed",
        "no line is an event; for rows with columns of another name, see `check` and `load --columns`",
    ]


def test_recount_of_a_table_names_it_and_the_command_that_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "my results.csv"
    (line,) = call(path, b"id,label,passed\n1,pass,yes\n").stderr.splitlines()
    assert line == (
        f"Error: {path} is CSV, expected one JSON object per line (NDJSON), plain or gzipped; if its rows have labels "
        f"or verdicts, type `eval-alignment check '{path}'` to compare them, or `eval-alignment load --columns --queue "
        f"NAME '{path}'` to send them"
    )


def test_recount_of_an_array_reports_it_in_one_line(tmp_path: Path) -> None:
    result = call(tmp_path / "f", b"[\n" + ANNOTATION + b",\n" + EVALUATION + b"\n]\n")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "is a JSON array, expected one JSON object per line" in result.stderr


def test_a_damaged_archive_is_an_unreadable_input(tmp_path: Path) -> None:
    damaged = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff"
    assert "cannot read the input" in call(tmp_path / "f", damaged).stderr


def events(at: str) -> bytes:
    return (
        f'{{"id":"a2","at":"{at}","queue":"q","item":"j","thumbs":"up"}}\n'
        f'{{"id":"e2","at":"{at}","item":"j","metric":"m","passed":true}}\n'
    ).encode()


FUTURE = events("2096-05-04T12:00:00Z")


def comparisons(result: Result) -> int:
    (document,) = json.loads(result.stdout)
    return int(document["cards"]["comparisons"])


def test_recount_rejects_events_that_are_ahead_of_the_clock(tmp_path: Path) -> None:
    content = ANNOTATION + b"\n" + EVALUATION + b"\n" + FUTURE
    result = call(tmp_path / "f", content, "--json", "--window", "7d")
    assert (result.exit_code, comparisons(result)) == (1, 1)
    assert [line.split(":")[1:3] for line in result.stderr.splitlines()[:2]] == [
        ["3", " future_timestamp"],
        ["4", " future_timestamp"],
    ]
    assert "(setting `future_limit_ms`) - at `$.at`" in result.stderr


@pytest.mark.parametrize(
    ("as_of", "code"),
    [
        ("2096-05-04T11:55:00Z", 0),
        ("2096-05-04T11:54:59Z", 1),
        ("2096-05-04T13:55:00+02:00", 0),
        ("2096-05-04", 0),
        ("2096-05-03", 1),
    ],
)
def test_the_clock_of_recount_is_a_time_or_the_end_of_a_day(tmp_path: Path, as_of: str, code: int) -> None:
    assert call(tmp_path / "f", FUTURE, "--as-of", as_of).exit_code == code


def test_the_window_of_recount_ends_on_the_day_of_its_clock(tmp_path: Path) -> None:
    content = events("2026-01-01T00:00:00Z")
    assert comparisons(call(tmp_path / "f", content, "--window", "7d", "--as-of", "2026-01-07", "--json")) == 1
    assert comparisons(call(tmp_path / "f", content, "--window", "7d", "--as-of", "2026-01-08", "--json")) == 0


@pytest.mark.parametrize("as_of", ["yesterday", "2026-01-01T00:00:00", "2026-13-01"])
def test_a_clock_without_offset_is_a_usage_error(tmp_path: Path, as_of: str) -> None:
    assert call(tmp_path / "f", FUTURE, "--as-of", as_of).exit_code == 2


def test_a_gate_on_a_file_of_another_format_has_no_document(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"id,item\n")
    result = CliRunner().invoke(report, ["q", "--file", str(path), "--fail-under", "0.5"])
    assert (result.exit_code, "is CSV" in result.stderr) == (3, True)


def test_recount_of_very_many_invalid_lines_reports_the_first_and_a_summary(tmp_path: Path) -> None:
    result = call(tmp_path / "f", b"no JSON\n" * 250 + b'{"id":1,"label":"pass","passed":true}\n' * 50)
    *shown, summary, _ = result.stderr.splitlines()
    assert [line.split(":")[1] for line in shown] == [str(number) for number in range(1, 101)]
    assert summary == "300 invalid lines: 250 malformed, 50 missing_field (the first 100 are above)"
