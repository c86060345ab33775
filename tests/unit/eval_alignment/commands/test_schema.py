"""`schema`: documents and events are valid against the schemas that it prints."""

import json
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.recount import Recount
from eval_alignment.commands.schema import schema


def printed(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(schema, arguments, catch_exceptions=False)
    decoded: dict[str, Any] = json.loads(result.stdout)
    return decoded


@pytest.mark.parametrize("name", ["annotation", "evaluation", "queue-item", "snapshot"])
def test_every_schema_is_valid_and_all_are_printed_together(name: str) -> None:
    Draft202012Validator.check_schema(printed(name))
    assert printed()[name] == printed(name)


def test_a_document_is_valid_and_a_broken_one_is_not() -> None:
    facts: list[Fact] = [Annotation(1, "a", "q", "i", stars=4), Evaluation(1, "e", "i", "relevance", passed=True)]
    document = json.loads(json.dumps(Recount(facts).document("q")))
    validator = Draft202012Validator(printed("snapshot"))
    validator.validate(document)
    document["criteria"][0]["metrics"][0]["tp"] = "1"
    assert not validator.is_valid(document)


def test_every_field_of_the_snapshot_document_is_described() -> None:
    parts = {name: part["properties"] for name, part in printed("snapshot")["$defs"].items() if "properties" in part}
    described = {name for name, fields in parts.items() if all("description" in field for field in fields.values())}
    # The keys of the other two are ratings and verdicts.
    assert described == parts.keys() - {"Ratings", "Verdicts"}
    assert described >= {"SnapshotDocument", "MetricDocument"}
