"""Every row of docs/reliability.md has a test, and the page has a place for the table."""

import ast
from pathlib import Path

from tests.support.reliability import BEGIN, END, ROWS, SOAK_BEGIN, SOAK_END, Ran, Table, write_soak

TESTS = Path(__file__).resolve().parents[1]


def marked_rows() -> set[int]:
    """The rows of every `pytest.mark.row` in the tests."""
    rows: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.row":
                rows |= {ast.literal_eval(argument) for argument in node.args}
    return rows


def test_every_row_has_a_test() -> None:
    assert marked_rows() == set(ROWS)


def test_the_page_has_a_place_for_both_tables() -> None:
    page = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    places = [page.index(mark) for mark in (BEGIN, END, SOAK_BEGIN, SOAK_END)]
    assert places == sorted(places)
    assert [page.count(mark) for mark in (BEGIN, END, SOAK_BEGIN, SOAK_END)] == [1, 1, 1, 1]


def test_a_row_lists_tests_that_did_not_run_or_failed(tmp_path: Path) -> None:
    table = Table(tmp_path)
    tests = {number: f"tests/test_it.py::test_row_{number}" for number in ROWS}
    table.rows = {test: [number] for number, test in tests.items()} | {"tests/test_it.py::test_two": [3, 4]}
    for number, test in tests.items():
        table.ran[number].append(Ran(test, "passed", 1.0, ["it 5.00"]))
    unseen = "did not run: tests/test_it.py::test_two"
    assert table.lacking() == {3: unseen, 4: unseen}
    for number, outcome in ((3, "passed"), (4, "skipped")):
        table.ran[number].append(Ran("tests/test_it.py::test_two", outcome, 1.0, []))
    assert table.lacking() == {4: "tests/test_it.py::test_two skipped"}
    del table.rows[tests[5]]
    assert table.lacking().keys() == {4, 5}
    (fourth,) = (line for line in table.lines() if line.startswith("| 4 |"))
    assert "| held: row 4 (it 5.00)<br>**SKIPPED**: two |" in fourth


def test_the_soak_writes_its_row_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\n{SOAK_BEGIN}\nwhat was\n{SOAK_END}\nafter\n", encoding="utf-8")
    write_soak(page, ["7 minutes", "difference 0"])
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n{END}\n{SOAK_BEGIN}\n")
    assert text.endswith(f"{SOAK_END}\nafter\n")
    assert "what was" not in text
    (row,) = (line for line in text.splitlines() if line.startswith("| 20 |"))
    assert "| 7 minutes<br>difference 0 |" in row


def test_the_table_can_be_a_plugin_of_a_run_over_several_directories(tmp_path: Path) -> None:
    """Pytest deselects plugins of a directory from a set."""
    table = Table(tmp_path)
    assert {table} - {table} == set()


def test_hostile_names_of_tests_do_not_come_into_the_table(tmp_path: Path) -> None:
    table = Table(tmp_path)
    for text in ("<script>alert(1)</script>", "a | b", "x"):
        table.ran[13].append(Ran(f"tests/test_it.py::test_only_said[{text}]", "passed", 1.0, []))
    (row,) = (line for line in table.lines() if line.startswith("| 13 |"))
    assert "| held: only said, 2 times<br>held: only said[x] |" in row
