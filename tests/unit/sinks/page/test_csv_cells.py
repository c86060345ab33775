"""Which texts of a CSV cell get an apostrophe, so that no spreadsheet interprets them."""

import csv
import io
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.page.csv_cells import guarded

STARTS = "=+-@|%＝＋－＠｜％"  # noqa: RUF001 -- full-width characters
INVISIBLE = [
    "", " ", "\u00a0", "\u3000", "\u2028", "\x0b", "\x00", "\x1f", "\x7f", "\u00ad", "\u200b", "\u200e", "\u202e",
    "\u2060", "\u2066", "\u3164", "\ufe0f", "\ufeff", '"', '" \u200b',
]  # fmt: skip


@pytest.mark.parametrize("before", ["", "note;", "note\n", "note\r\n", "note\t", "a;;"])
def test_a_formula_gets_an_apostrophe(before: str) -> None:
    for first, start in itertools.product(INVISIBLE, STARTS):
        assert guarded(f"{before}{first}{start}1+1") == f"{before}'{first}{start}1+1"


@pytest.mark.parametrize("text", ["fine", " fine", "a = b", "1-2", "me@example.org", "50 %", "a;b", "", "\u2212" + "1"])
def test_other_text_stays(text: str) -> None:
    assert guarded(text) == text


@pytest.mark.parametrize("text", ["\tx", "\rx", "\nx"])
def test_a_tab_or_a_line_break_at_the_start_gets_an_apostrophe(text: str) -> None:
    assert guarded(text) == f"'{text}"


@given(st.text(alphabet=st.sampled_from("=+-@;\t\r\n \u200b\"'a1")))
def test_no_part_of_a_file_divided_by_semicolons_is_a_formula(text: str) -> None:
    """As a spreadsheet reads a file of quoted cells where semicolons divide them."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow(["id", guarded(text), "end"])
    for row in csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=";"):
        for cell in row:
            assert not cell.strip(" \u200b").startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("part", ["\n", ";", " ", "\u200b", '"', "\t", "\x1f", "\x85"])
def test_the_time_is_linear(part: str) -> None:
    started = time.thread_time()
    guarded(part * 100_000)
    assert time.thread_time() - started < 2
