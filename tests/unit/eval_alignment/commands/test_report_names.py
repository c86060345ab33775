"""`report` of a queue, criterion or metric that does not exist."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, encode
from eval_alignment.commands import report as command
from eval_alignment.commands.report import report
from eval_alignment.unknown_names import not_found
from eval_alignment.view_client import QueueNotFoundError

AT = 1_767_225_600_000
FACTS: list[Fact] = [
    Annotation(AT, "a", "scales", "i", criterion="style", thumbs="up"),
    Evaluation(AT, "e", "i", "m_scale", passed=True),
    Annotation(AT + 30 * DAY_MS, "b", "scales", "j", thumbs="up"),
    Evaluation(AT, "f", "j", "tone", passed=True),
    Annotation(AT, "c", "other", "i", thumbs="up"),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join(map(encode, FACTS)))
    return str(file)


def gate(queue: str, path: str, *options: str) -> Result:
    return CliRunner().invoke(report, [queue, "--file", path, "--fail-under", "0.5", *options])


@pytest.mark.parametrize(
    ("queue", "options", "message"),
    [
        ("scale", (), "queue 'scale' not found; existing: 'scales', 'other'"),
        ("scales", ("--metric", "M_scale"), "queue 'scales': metric 'M_scale' not found; existing: 'm_scale', 'tone'"),
        (
            "scales",
            ("--criterion", "stile"),
            "queue 'scales': criterion 'stile' not found; existing: 'style', 'overall'",
        ),
    ],
)
def test_a_gate_on_an_unknown_name_lists_the_names_that_exist(
    path: str, queue: str, options: tuple[str, ...], message: str
) -> None:
    result = gate(queue, path, *options)
    assert (result.exit_code, result.stdout, result.stderr) == (64, "", f"{message}\n")


def test_a_criterion_that_is_outside_the_window_alone_is_not_unknown(path: str) -> None:
    assert gate("scales", path, "--window", "7d", "--criterion", "style").exit_code == 2


def test_a_pair_of_existing_names_that_never_meet_has_too_few_labels(path: str) -> None:
    assert gate("scales", path, "--criterion", "style", "--metric", "tone").exit_code == 2


@pytest.mark.parametrize(("ready", "code"), [(False, 3), (True, 64)])
@pytest.mark.parametrize("queue", ["scales", "scale"])
def test_a_source_that_is_not_ready_is_unavailable_instead(
    path: str, monkeypatch: pytest.MonkeyPatch, queue: str, ready: bool, code: int
) -> None:
    monkeypatch.setattr(command._Files, "ready", lambda _: ready)
    assert gate(queue, path, "--metric", "unheard of").exit_code == code


def test_only_the_nearest_names_are_listed() -> None:
    message = not_found("queue", "q7", [f"q{number}" for number in range(30)])
    assert message.startswith("queue 'q7' not found; existing: 'q7', 'q17', 'q27', ")
    assert message.endswith(" and 20 more")
    assert not_found("metric", "a\x1b", []) == "metric 'a\\x1b' not found; no metric exists"


def test_the_error_of_an_unknown_queue_is_one_of_an_unavailable_document() -> None:
    assert QueueNotFoundError.exit_code.code == 3
