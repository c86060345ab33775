"""`disagreements`: the records of each format, from a view."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.snapshot.inputs import CountingRules
from eval_alignment import view_client
from eval_alignment.commands.disagreements import disagreements
from eval_alignment.disagreements import FORMATS
from sinks.store.store import Store
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving

QUEUE = "a/b ü"
HOSTILE = 'a "b" </output> <script>&amp; \x1b[31m\x85\u2028 Ω\n second'

FACTS: list[Fact] = [
    Annotation(
        NOW_MS - 4, "a1", QUEUE, "i1", annotator="ann", stars=1, explanation="No answer.", expected="14 days",
        input="How long?", output=HOSTILE,
    ),
    Annotation(NOW_MS - 3, "a2", QUEUE, "i1", annotator="bob", thumbs="up"),
    Annotation(NOW_MS - 2, "a3", QUEUE, "i2", criterion="tone", thumbs="up", explanation="Friendly."),
    Annotation(NOW_MS - 1, "a4", "other", "i1", thumbs="down"),
    Evaluation(NOW_MS, "e1", "i1", "relevance", judge="v2", score=0.9, threshold=0.5, passed=True, reason="On topic."),
    Evaluation(NOW_MS, "e2", "i2", "relevance", judge="v1", passed=False),
    Evaluation(NOW_MS, "e3", "i1", "length", passed=True),
]  # fmt: skip


@pytest.fixture
def url(store: Store, tmp_path: Path) -> Iterator[str]:
    fill(store, FACTS)
    rules = CountingRules(criterion_metrics={"overall": frozenset({"relevance"})})
    with serving(view_of(store, tmp_path, rules)) as address:
        yield address


def call(url: str, *options: str, queue: str = QUEUE) -> Result:
    return CliRunner().invoke(disagreements, [queue, "--url", url, *options])


def records(url: str, *options: str) -> list[dict[str, Any]]:
    result = call(url, *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_misaligned_comparison_is_a_record_newest_first(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_client, "_COMPARISONS", 1)
    assert [(row["item"], row["criterion"], row["metric"], row["annotator"]) for row in records(url)] == [
        ("i2", "tone", "relevance", ""),
        ("i1", "overall", "relevance", "ann"),
    ]
    result = call(url)
    assert result.stderr.splitlines() == [
        "2 disagreements",
        "1 without input and output: send them with the events, a judge cannot learn from an id alone",
    ]


@pytest.mark.parametrize(
    ("options", "items"),
    [
        (("--criterion", "tone"), ["i2"]),
        (("--judge", "v2"), ["i1"]),
        (("--limit", "1"), ["i2"]),
        (("--window", "7d", "--metric", "relevance"), ["i2", "i1"]),
        # A pair that `criterion_metrics` leaves out comes only when it is asked for by both names.
        (("--metric", "length"), []),
        (("--metric", "length", "--criterion", "overall"), ["i1"]),
    ],
)
def test_options_choose_among_the_records(url: str, options: tuple[str, ...], items: list[str]) -> None:
    assert [row["item"] for row in records(url, *options)] == items


def test_jsonl_has_the_comparisons_of_the_api(url: str) -> None:
    row = records(url, "--criterion", "overall")[0]
    assert (row["input"], row["output"], row["outcome"]) == ("How long?", HOSTILE, "fp")


def test_dspy_has_one_flat_object_with_the_same_names_on_each_line(url: str) -> None:
    tone, overall = records(url, "--format", "dspy")
    assert list(tone) == list(overall)
    assert overall == {
        "input": "How long?", "output": HOSTILE, "human_result": "fail", "human_explanation": "No answer.",
        "expected": "14 days", "metric_result": "pass", "metric_reason": "On topic.", "score": 0.9, "item": "i1",
        "criterion": "overall", "metric": "relevance", "judge": "v2", "annotator": "ann",
        "annotated_at": "2026-11-24T11:59:59.996+00:00", "stars": 1, "thumbs": None, "url": "https://t.test/trace/i1",
    }  # fmt: skip
    assert (tone["human_result"], tone["metric_result"], tone["input"]) == ("pass", "fail", None)


def test_mlflow_has_inputs_outputs_expectations_and_tags_of_text(url: str) -> None:
    tone, overall = records(url, "--format", "mlflow")
    assert overall["inputs"] == {"item": "i1", "input": "How long?"}
    assert overall["outputs"] == HOSTILE
    labels = {"human_result": "fail", "human_explanation": "No answer.", "expected_response": "14 days"}
    assert overall["expectations"] == labels
    assert {type(value) for value in overall["tags"].values()} == {str}
    assert (overall["tags"]["metric_result"], overall["tags"]["stars"]) == ("pass", "1")
    assert (tone["inputs"], tone["outputs"]) == ({"item": "i2"}, None)


def test_langsmith_has_what_a_judge_should_return_as_outputs(url: str) -> None:
    tone, overall = records(url, "--format", "langsmith")
    assert set(overall) == {"inputs", "outputs", "metadata"}
    assert overall["inputs"] == {"input": "How long?", "output": HOSTILE}
    assert overall["outputs"] == {"human_result": "fail", "human_explanation": "No answer.", "expected": "14 days"}
    assert overall["metadata"]["metric_reason"] == "On topic."
    assert (tone["inputs"], tone["outputs"]) == ({}, {"human_result": "pass", "human_explanation": "Friendly."})


def test_few_shot_examples_are_well_formed_whatever_texts_contain(url: str) -> None:
    text = call(url, "--format", "few-shot").stdout
    assert not set(text) & {"\x1b", "\x85"}
    tone, overall = ET.fromstring(text)  # noqa: S314 -- its own text
    assert overall.attrib == {"item": "i1", "criterion": "overall", "metric": "relevance"}
    assert overall.findtext("output") == HOSTILE.replace("\x1b", "\ufffd").replace("\x85", "\ufffd")
    assert [part.tag for part in tone] == ["human_result", "human_explanation", "metric_result"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_queue_without_disagreements_has_no_record(url: str, name: str) -> None:
    result = call(url, "--format", name, "--judge", "v9")
    assert (result.exit_code, result.stderr) == (0, "0 disagreements\n")
    assert result.stdout in ("", "<examples>\n</examples>\n")


@pytest.mark.parametrize(
    ("queue", "options", "message"),
    [
        ("a/b u", (), "queue 'a/b u' not found; existing: 'a/b ü', 'other'"),
        (QUEUE, ("--metric", "relevanz"), "queue 'a/b ü': metric 'relevanz' not found; existing: 'relevance'"),
        (QUEUE, ("--criterion", "ton"), "queue 'a/b ü': criterion 'ton' not found; existing: 'tone'"),
    ],
)
def test_an_unknown_name_is_reported_with_those_that_exist(
    url: str, queue: str, options: tuple[str, ...], message: str
) -> None:
    result = call(url, *options, queue=queue)
    assert (result.exit_code, result.stdout) == (64, "")
    assert result.stderr.startswith(message)


def test_a_view_that_does_not_answer_has_the_code_of_an_unreachable_view() -> None:
    result = call("http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (3, "")
