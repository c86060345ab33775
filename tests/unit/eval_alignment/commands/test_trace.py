"""`trace`: prints what a view answers about an item."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aggregator.facts import Annotation, Evaluation, Fact
from eval_alignment.commands.trace import trace
from sinks.store.store import Store
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving

ITEM = "run 1/step"
FACTS: list[Fact] = [
    Annotation(NOW_MS - 9, "a1", "a/b", ITEM, annotator="ann", stars=2, explanation="Wrong."),
    Annotation(NOW_MS - 8, "a2", "a/b", ITEM, annotator="bob", deleted=True),
    Evaluation(NOW_MS - 7, "e1", ITEM, "m", judge="v1", score=0.9, threshold=0.5, passed=True),
    Evaluation(NOW_MS - 6, "e2", ITEM, "m", judge="v2", passed=False),
    Evaluation(NOW_MS - 6, "e3", ITEM, "n", status="error"),
]


@pytest.fixture
def view(store: Store) -> Store:
    fill(store, FACTS)
    return store


def call(store: Store, tmp_path: Path, *arguments: str) -> Result:
    with serving(view_of(store, tmp_path)) as url:
        return CliRunner().invoke(trace, [*arguments, "--url", url])


def test_the_tables_have_every_row_and_every_pair(view: Store, tmp_path: Path) -> None:
    result = call(view, tmp_path, "a/b", ITEM)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{ITEM}   queue a/b, policy each, pass from 3 stars")
    for parts in (
        ("ann, overall", "2 of 5 stars: fail", "counted", "a1"),
        ("bob, overall", "deleted", "a2"),
        ("m, v1", "score 0.9: pass", "superseded", "e1"),
        ("m, v2", "fail", "current", "e2"),
        ("ann, overall", "m, v2", "tn", "counted: 2 of 5 stars fails", "(day 2026-11-24)"),
        ("ann, overall", "m, v1", "fp", "superseded: the metric's verdict of 2026-11-24"),
        ("ann, overall", "n, -", "error: the evaluation failed"),
        ("bob, overall", "m, v2", "annotation_deleted"),
    ):
        assert any(all(part in line for part in parts) for line in lines), parts
    assert "Not kept: what a correction replaced" in lines[-1]


def test_json_is_the_answer_of_the_view(view: Store, tmp_path: Path) -> None:
    result = call(view, tmp_path, "a/b", ITEM, "--json")
    document = json.loads(result.stdout)
    assert (document["item"], len(document["pairs"])) == (ITEM, 6)


@pytest.mark.parametrize(("queue", "item", "named"), [("a/b", "none", "item 'none'"), ("none", ITEM, "queue 'none'")])
def test_an_unknown_name_ends_with_a_message(view: Store, tmp_path: Path, queue: str, item: str, named: str) -> None:
    result = call(view, tmp_path, queue, item)
    assert (result.exit_code, named in result.stderr) == (3, True)
