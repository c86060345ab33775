"""The reference pages of docs/ are what the code says."""

import pytest

from streams.events.reasons import Reason
from streams.runtime.failures import Failure
from streams.runtime.metrics import METRICS
from tests.support.tree import ROOT
from tools.reference import pages


@pytest.mark.parametrize("name", pages())
def test_a_page_has_not_drifted(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == pages()[name], "run make docs"


def test_no_entry_is_left_out() -> None:
    made = pages()
    assert [metric.name for metric in METRICS if f"| `{metric.name}` |" not in made["metrics.md"]] == []
    assert [reason for reason in Reason if f"| `{reason.value}` |" not in made["reasons.md"]] == []
    assert [failure for failure in Failure if f"| {failure.value.code} |" not in made["exit-codes.md"]] == []


def test_every_row_of_a_table_has_the_cells_of_its_head() -> None:
    for name, text in pages().items():
        width = 0
        for line in text.splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = line.replace("\\|", "").count("|")
            width = width or cells
            assert cells == width, f"{name}: {line}"
