"""The record of an event by its id: the same as the mapper has it, for every tool."""

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sources.ownership import RecordVersion, Statement, event_name, parse_event_id
from sources.registry import TOOLS
from sources.rules import SourceSettings


def rating(criterion: str = "clear") -> Fact:
    return Annotation(1, "x", "q", "i", criterion=criterion, stars=3)


def verdict(metric: str = "tone") -> Fact:
    return Evaluation(1, "x", "i", metric, passed=True)


BOTH = {"columns": {"id": "id", "item": "i", "rating": "r", "metric": "m", "score": "s"}}


@pytest.mark.parametrize(
    ("tool", "native", "part", "fact", "config"),
    [
        ("labelstudio", "101", "a/b", rating(), {}),
        ("labelstudio", "prediction-7", "tone", verdict(), {}),
        ("argilla", "0c", "a/b", rating(), {}),
        ("langsmith", "f1", "correction", rating(), {}),
        ("langsmith", "f1", "", verdict(), {}),
        ("opik", "trace/name/author", "", rating("name"), {}),
        ("mlflow", "queue/item", "", rating(), {}),
        ("datadog", "u-1", "clear", rating(), {}),
        ("datadog", "span/tone/me", "", verdict(), {}),
        ("datadog", "span/tone", "", verdict(), {}),
        ("braintrust", "my/span", "clear", rating(), {}),
        ("braintrust", "span", "named before", rating("other"), {}),
        ("braintrust", "a/span", "Clear?", rating(), {"criteria": {"Clear?": {"criterion": "clear"}}}),
        ("csv", "a/b", "", rating("b"), BOTH),
        ("csv", "a", "tone", verdict(), BOTH),
        ("csv", "a/b", "Tone", verdict(), {**BOTH, "metrics": {"Tone": {"metric": "tone"}}}),
        ("json", "a/tone", "", verdict(), {"columns": {"id": "id", "item": "i", "metric": "m", "score": "s"}}),
    ],
)
def test_the_id_of_an_event_names_its_record(
    tool: str, native: str, part: str, fact: Fact, config: dict[str, object]
) -> None:
    settings = SourceSettings.model_validate({"tool": tool, **config})
    name = event_name(tool, native, part)
    assert TOOLS[tool].native(name, fact, settings) == native


@pytest.mark.parametrize(
    ("id", "parsed"),
    [
        ("tool:a@b/c@17", ("a@b/c", 17)),
        ("tool:a@17~deleted", ("a", 17)),
        ("tool:a", None),
        ("tool:a@x", None),
        ("tool:a@1~", None),
        ("other:a@17", None),
        ("tool", None),
    ],
)
def test_an_id_that_is_none_of_a_source_is_no_name(id: str, parsed: tuple[str, int] | None) -> None:
    assert parse_event_id("tool", id) == parsed


def test_what_a_version_says_is_parsed() -> None:
    version = RecordVersion("tool", "a:b/c", 5, 4, 2**64 - 1)
    (fact,) = version.dated([Statement(rating(), "clear")])
    assert parse_event_id("tool", fact.id) == ("a:b/c/clear", 2**64 - 1)
