"""Real ratings and real judges, against counts made outside the project."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.recount import Recount


def events(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path) as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def facts(summeval: Path) -> list[Fact]:
    annotations = [Annotation(**event) for event in events(summeval / "annotations.ndjson.gz")]
    evaluations = [
        Evaluation(**event, passed=event["score"] >= event["threshold"])
        for event in events(summeval / "evaluations.ndjson.gz")
    ]
    return [*annotations, *evaluations]


@pytest.fixture(scope="module")
def expected(summeval: Path) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads((summeval / "expected.json").read_text())
    return counts


@pytest.mark.parametrize("arrival", ["in order", "shuffled, every event twice"])
def test_recount_equals_plain_counting(facts: list[Fact], expected: dict[str, Any], arrival: str) -> None:
    history = facts
    if arrival != "in order":
        history = facts * 2
        random.Random(1).shuffle(history)
    recount = Recount(history)
    document = recount.document("summeval")
    cells = {
        f"{criterion['criterion']} | {metric['metric']}": {
            "tp": metric["tp"],
            "fn": metric["fn"],
            "tn": metric["tn"],
            "fp": metric["fp"],
        }
        for criterion in document["criteria"]
        for metric in criterion["metrics"]
    }
    assert cells == expected["cells"]
    cards = document["cards"]
    assert cards["annotations"] == expected["annotations"]
    assert cards["annotations_contributing"] == expected["contributing"]
    assert cards["items_compared"] == cards["items_annotated"] == expected["items_compared"]
    assert cards["comparisons"] == expected["pairs"]
    assert cards["misaligned"] == sum(cell["fn"] + cell["fp"] for cell in expected["cells"].values())
    assert (cards["criteria"], cards["metrics"]) == (4, 12)
    assert recount.queues == ["summeval"]


def test_tallies_equal_plain_counting(facts: list[Fact], expected: dict[str, Any]) -> None:
    passed_by = {"down": 0, "up": 1, "1": 0, "2": 0, "3": 1, "4": 1, "5": 1}
    human = list(passed_by.values())
    cells: dict[str, dict[str, int]] = {}
    for group, payload in Recount(facts).tallies().items():
        if group[0] != "cells":
            continue
        cell = cells.setdefault(f"{group[2]} | {group[3]}", {"tp": 0, "fn": 0, "tn": 0, "fp": 0})
        judges: Any = payload["judges"]
        for vectors in judges.values():
            for index, count in enumerate(vectors["current"]):
                cell[("tn", "fp", "fn", "tp")[2 * human[index // 2] + index % 2]] += count
    assert cells == expected["cells"]
