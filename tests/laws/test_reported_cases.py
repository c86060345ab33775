"""Faults that people reported for tools of this kind: `recount` of each input has the result that its row expects.

The inputs are in ../shared/data/cases, next to the repository. The README there has a row (P01, P02 ...) for each kind
of fault. Here are the rows whose command is `recount`, `report --file` or `counts.py`. What their inputs look like on
the page, and the rows about Kafka and HTTP, are tested with the parts that they concern.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from eval_alignment.commands.recount import recount
from eval_alignment.commands.report import report

CLOCK = "2026-11-30"
"""The inputs are of this year; one event is of 2036."""

Cell = tuple[str, str, int, int, int, int]
"""Criterion, metric, and the comparisons: true positive, false negative, true negative, false positive."""


@dataclass(frozen=True)
class Case:
    """One input and what `recount` makes of it."""

    row: str
    name: str
    cells: Sequence[Cell] = ()
    annotations: int = 0
    """Standing annotations of the queue."""
    invalid: Sequence[tuple[int, str]] = ()
    """Line and reason of every rejected event."""
    words: Sequence[str] = ()
    """Parts of standard error."""
    code: int = 0

    def __str__(self) -> str:
        return f"{self.row} {self.name}"


def every(reason: str, *numbers: int) -> list[tuple[int, str]]:
    """These lines, rejected for one reason."""
    return [(number, reason) for number in numbers]


NO_EVALUATIONS = "no evaluations in the input"
NO_ANNOTATIONS = "no annotations in the input"
EVALUATION = b'{"id":"e1","at":"2026-03-02T12:00:00Z","item":"i","metric":"m","passed":true}'

RECOUNTED = (
    Case(
        "P01",
        "numeric-string-score.ndjson",
        annotations=2,
        invalid=every("invalid_field", 2, 4),
        words=("score is a string, expected a number without quotes - at `$.score`", NO_EVALUATIONS),
        code=1,
    ),
    Case(
        "P02",
        "nan-score.ndjson",
        cells=[("helpfulness", "faithfulness", 0, 0, 1, 0)],
        annotations=2,
        invalid=every("invalid_field", 2),
        words=('score is NaN, expected a number. If the evaluation failed, send `"status": "error"`', "`$.score`"),
        code=1,
    ),
    Case("P03", "huge-score.ndjson", cells=[("helpfulness", "summary_quality", 3, 0, 3, 0)], annotations=6),
    Case(
        "P04",
        "stars-as-float.ndjson",
        cells=[("fluency", "fluency", 2, 0, 0, 0)],
        annotations=2,
        invalid=every("invalid_field", 3),
        words=("stars is a string, expected an integer from 1 to 5 without quotes - at `$.stars`",),
        code=1,
    ),
    Case(
        "P05",
        "thumbs-as-numbers.ndjson",
        invalid=every("invalid_field", 1, 2, 3, 4, 5, 6, 7, 8),
        words=("thumbs is an integer, expected `up` or `down`", "thumbs is an unknown value", NO_ANNOTATIONS),
        code=1,
    ),
    Case(
        "P06",
        "epoch-seconds.ndjson",
        cells=[("helpfulness", "m_sec", 1, 0, 0, 0)],
        annotations=1,
        invalid=every("invalid_field", 3, 4, 5),
        words=("at is in seconds since 1970, expected milliseconds: multiply it by 1,000",),
        code=1,
    ),
    Case(
        "P07",
        "rfc3339-forms.ndjson",
        cells=[("helpfulness", "m_rfc", 7, 0, 0, 0)],
        annotations=7,
        invalid=every("invalid_field", 8),
        words=("at is not between the years 1970 and 9999 - at `$.at`",),
        code=1,
    ),
    Case(
        "P08",
        "naive-time.ndjson",
        invalid=every("invalid_field", 1, 2, 3),
        words=("at has no offset: append the offset of the local time, such as +01:00, or Z if it is UTC",),
        code=1,
    ),
    Case(
        "P09",
        "future-time.ndjson",
        cells=[("tone", "tone", 1, 0, 0, 0)],
        annotations=1,
        invalid=every("future_timestamp", 3, 4),
        words=("5 minutes are allowed (setting `future_limit_ms`) - at `$.at`",),
        code=1,
    ),
    Case("P10", "dates-of-several-years.ndjson", cells=[("tone", "tone", 5, 0, 0, 4)], annotations=9),
    Case("P11", "utf8-bom.ndjson", cells=[("helpfulness", "m_bom", 1, 0, 0, 0)], annotations=1),
    Case("P12", "json-array.json", words=("is a JSON array, expected one JSON object per line (NDJSON)",), code=1),
    Case("P13", "nfc-nfd.ndjson", cells=[("cr\u00e8me", "v\u00e9rit\u00e9", 2, 0, 0, 0)], annotations=3),
    Case(
        "P14",
        "names-differ-by-case.ndjson",
        cells=[
            ("Truth", "Faithfulness", 1, 0, 0, 0),
            ("Truth", "faithfulness ", 1, 0, 0, 0),
            ("truth", "faithfulness", 1, 0, 0, 0),
            ("truth", "faithfulness\u200b", 1, 0, 0, 0),
        ],
        annotations=4,
    ),
    Case(
        "P15",
        "bidi-names.ndjson",
        cells=[
            ("\u2067critical", "metric\u202e-lived", 0, 0, 0, 1),
            ("\u05d1\u05d4\u05d9\u05e8\u05d5\u05ea", "\u0645\u0642\u064a\u0627\u0633", 0, 0, 0, 1),
        ],
        annotations=2,
    ),
    Case("P16", "csv-cells.ndjson", cells=[("helpfulness", "m_csv", 0, 0, 0, 3)], annotations=3),
    Case("P17", "override.ndjson", cells=[("helpfulness", "m_ov", 1, 0, 0, 0)], annotations=1),
    Case("P19", "override-then-delete.ndjson", words=(NO_EVALUATIONS,)),
    Case(
        "P20",
        "resent-same-id-and-time.ndjson",
        cells=[("helpfulness", "m_rs", 2, 0, 0, 0)],
        annotations=2,
        words=(
            "2 events have the `at` and `id` of an earlier event of the same row, and other content",
            ".ndjson:1 and ",
            ".ndjson:2, ",
            ".ndjson:3 and ",
            ".ndjson:4;",
        ),
    ),
    Case(
        "P21",
        "judge-errors.ndjson",
        cells=[("helpfulness", "m_je", 1, 0, 0, 0), ("helpfulness", "m_je2", 0, 0, 0, 0)],
        annotations=4,
    ),
    Case(
        "P21",
        "judge-errors-with-queue-items.ndjson",
        cells=[("tone", "m_je", 1, 0, 0, 0), ("tone", "m_only_errors", 0, 0, 0, 0)],
        annotations=3,
    ),
    Case("P22", "mixed-scales.ndjson", cells=[("helpfulness", "m_scale", 3, 2, 1, 1)], annotations=7),
    Case(
        "P23",
        "float-boundary.ndjson",
        cells=[("helpfulness", "m_fb_higher", 3, 1, 0, 0), ("helpfulness", "m_fb_lower", 1, 1, 0, 0)],
        annotations=6,
    ),
    Case(
        "P24",
        "score-without-threshold.ndjson",
        annotations=1,
        invalid=every("no_verdict", 2),
        words=("set the metric's threshold in the setting `metrics` - at `$.threshold`", NO_EVALUATIONS),
        code=1,
    ),
    Case(
        "P25",
        "numeric-ids.ndjson",
        invalid=every("invalid_field", 1, 2),
        words=("id is an integer, expected a string in quotes - at `$.id`", "`$.annotator`", NO_ANNOTATIONS),
        code=1,
    ),
    Case(
        "P26",
        "typo-in-field-name.ndjson",
        cells=[("overall", "tone", 0, 0, 0, 1), ("tone", "tone", 0, 0, 0, 1)],
        annotations=2,
        words=(
            "unknown field `annotater` is ignored in 2 annotations: did you mean `annotator`?",
            "unknown field `criteria` is ignored in 1 annotation: did you mean `criterion`?",
        ),
    ),
)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(recount, [*arguments, "--json", "--as-of", CLOCK])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def documents(result: Result) -> list[Any]:
    return json.loads(result.stdout) if result.stdout else []


def reported(stderr: str, path: Path) -> list[tuple[int, str]]:
    """Line and reason of every rejected event."""
    prefix = f"{path}:"
    parts = [line.removeprefix(prefix).split(": ", 2) for line in stderr.splitlines() if line.startswith(prefix)]
    return [(int(number), reason) for number, reason, _ in parts]


@pytest.mark.parametrize("case", RECOUNTED, ids=str)
def test_recount_of_the_input(cases: Path, case: Case) -> None:
    path = cases / case.name
    result = run(str(path))
    counted = documents(result)
    cells = [
        (criterion["criterion"], metric["metric"], *(metric[outcome] for outcome in ("tp", "fn", "tn", "fp")))
        for document in counted
        for criterion in document["criteria"]
        for metric in criterion["metrics"]
    ]
    assert sorted(cells) == sorted(case.cells)
    assert sum(document["cards"]["annotations"] for document in counted) == case.annotations
    assert reported(result.stderr, path) == list(case.invalid)
    assert [words for words in case.words if words not in result.stderr] == []
    assert bool(result.stderr) is bool(case.words)
    assert result.exit_code == case.code


def test_every_input_of_recount_is_in_the_table(cases: Path) -> None:
    present = {path.name for path in cases.iterdir() if path.suffix in (".ndjson", ".json")}
    assert present == {case.name for case in RECOUNTED}


def metric_of(cases: Path, tmp_path: Path, *counts: int) -> Any:
    """The metric of the document of events with these counts: tp, fn, fp, tn."""
    path = tmp_path / "counts.ndjson"
    program = [sys.executable, str(cases / "counts.py"), *map(str, counts)]
    path.write_bytes(subprocess.run(program, check=True, capture_output=True).stdout)
    (document,) = documents(run(str(path)))
    (criterion,) = document["criteria"]
    (metric,) = criterion["metrics"]
    return metric


@pytest.mark.slow
def test_p27_mcc_of_many_comparisons_does_not_overflow(cases: Path, tmp_path: Path) -> None:
    assert metric_of(cases, tmp_path, 50_000, 5_000, 5_000, 50_000)["mcc"] == pytest.approx(0.81818, abs=5e-6)


@pytest.mark.parametrize(
    ("counts", "undefined"),
    [
        ((40, 0, 0, 0), {"kappa", "mcc", "alpha", "tnr", "npv", "balanced_accuracy"}),
        ((0, 0, 0, 40), {"kappa", "mcc", "alpha", "tpr", "ppv", "f1", "balanced_accuracy"}),
        ((1, 0, 0, 0), {"kappa", "mcc", "alpha", "tnr", "npv", "balanced_accuracy"}),
        ((0, 5, 0, 5), {"mcc", "ppv"}),
    ],
)
def test_p28_with_one_class_what_needs_two_is_undefined_with_a_reason(
    cases: Path, tmp_path: Path, counts: tuple[int, int, int, int], undefined: set[str]
) -> None:
    metric = metric_of(cases, tmp_path, *counts)
    statistics = {"kappa", "mcc", "alpha", "tpr", "tnr", "ppv", "npv", "f1", "balanced_accuracy"}
    assert {name for name in statistics if metric[name] is None} == undefined
    assert undefined <= metric["undefined"].keys()
    assert metric["gate_state"] == "undecided"


def test_p29_a_judge_that_always_passes_is_not_trusted(cases: Path, tmp_path: Path) -> None:
    metric = metric_of(cases, tmp_path, 90, 0, 10, 0)
    assert (metric["alignment"], metric["baseline"], metric["kappa"]) == (0.9, 0.9, 0.0)
    assert metric["gate_state"] == "not_trusted"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("P13", "Cafe\u0301", "nfc-nfd.ndjson", "--fail-under", "0.1", "--min-items", "2"), 0, ""),
        (("P30", "scales", "mixed-scales.ndjson", "--fail-under", "0.8", "--metric", "M_scale"), 64, "'m_scale'"),
        (("P30", "scale", "mixed-scales.ndjson", "--fail-under", "0.8"), 64, "'scales'"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_gate_finds_names_in_either_form_and_lists_them(
    cases: Path, arguments: Sequence[str], code: int, message: str
) -> None:
    _, queue, name, *options = arguments
    result = CliRunner().invoke(report, [queue, "--file", str(cases / name), *options])
    assert (result.exit_code, message in result.stderr) == (code, True)


def test_p21_failures_of_the_judge_are_seen_and_are_never_a_fail(cases: Path) -> None:
    for name in ("judge-errors.ndjson", "judge-errors-with-queue-items.ndjson"):
        (document,) = documents(run(str(cases / name)))
        metrics = document["criteria"][0]["metrics"]
        assert sum(metric["annotated_errored"] + metric["annotated_skipped"] for metric in metrics) > 0
        assert [metric["misaligned"] for metric in metrics] == [0, 0]


@pytest.mark.parametrize(("content", "message"), [(b"", "no events in the input"), (EVALUATION, NO_ANNOTATIONS)])
def test_p42_an_input_with_nothing_to_count_is_reported(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(content)
    assert run(str(path)).stderr.startswith(message)
