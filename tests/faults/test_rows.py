"""Every row of docs/reliability.md has a test, and the page the place for the table."""

import ast
from pathlib import Path

from tests.support.reliability import BEGIN, END, ROWS

TESTS = Path(__file__).resolve().parents[1]


def marked_rows() -> set[int]:
    """The rows of every `pytest.mark.row` in the tests."""
    found: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.row":
                found |= {ast.literal_eval(argument) for argument in node.args}
    return found


def test_every_row_has_a_test() -> None:
    assert marked_rows() == set(ROWS)


def test_the_page_has_a_place_for_the_table() -> None:
    page = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert page.index(BEGIN) < page.index(END)
