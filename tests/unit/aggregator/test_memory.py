"""The formula of docs/scaling.md: memory of a shard from its rows, items and tallies."""

import re

import pytest

from bench.end_to_end.memory import ONE_EVALUATION, REFERENCE, Coefficients, Shape, coefficients, held
from tests.support.tree import ROOT

ITEMS = 256
# A dictionary grows in steps: the formula is a line through them.
TOLERANCE = 0.12
DOCUMENTED = re.compile(
    r"bytes = (\d+) \* annotations \+ (\d+) \* evaluations \+ (\d+) \* items \+ (\d+) \* tallies", re.MULTILINE
)


def documented() -> Coefficients:
    """The coefficients in docs/scaling.md."""
    (numbers,) = DOCUMENTED.findall((ROOT / "docs" / "scaling.md").read_text())
    return Coefficients(*map(float, numbers))


@pytest.mark.parametrize(
    ("shape", "items"),
    [(ONE_EVALUATION, 400), (ONE_EVALUATION, 1500), (REFERENCE, 100), (Shape(3, 4), 400), (Shape(2, 12, 30), 300)],
)
def test_the_documented_formula_predicts_the_memory_of_a_shard(shape: Shape, items: int) -> None:
    shard = held(shape, items, seed=7)
    assert documented().bytes(shard.size) == pytest.approx(shard.bytes, rel=TOLERANCE)


@pytest.mark.slow
def test_the_coefficients_are_those_that_are_documented() -> None:
    measured, documented_numbers = coefficients(ITEMS), documented()
    for name in ("annotation", "evaluation", "item"):
        assert getattr(measured, name) == pytest.approx(getattr(documented_numbers, name), rel=TOLERANCE), name
