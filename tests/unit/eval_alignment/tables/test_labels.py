"""Scales of labels: what a column shows by itself, and what has to be asked for."""

import pytest

from eval_alignment.tables.labels import (
    FAIL_WORDS,
    PASS_WORDS,
    STARS,
    THUMBS,
    WORDS,
    LabelScale,
    ScaleError,
    UnreadableCellError,
    parse_scale,
    scale_of,
)


@pytest.mark.parametrize(
    ("cells", "scale"),
    [
        (["pass", "FAIL"], WORDS),
        ([" True", "false "], WORDS),
        (["yes"], WORDS),
        (["up", "no", "good", "👎"], WORDS),
        (["thumbs_up", "Thumbs Down"], WORDS),
        (["pass", "fail", "maybe"], WORDS),
        ([], WORDS),
        (["1", "0"], THUMBS),
        (["1.0", "0.0"], THUMBS),
        (["0"], THUMBS),
        (["yes", "0", "1"], THUMBS),
        (["1", "2", "3", "4", "5"], STARS),
        (["4", "5"], STARS),
        (["5,0", "3.0"], STARS),
    ],
)
def test_a_column_shows_its_scale(cells: list[str], scale: LabelScale) -> None:
    assert scale_of(cells) is scale


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "1"],
        ["5"],
        ["1", "2", "3", "4"],
        ["4"],
        ["0", "1", "2"],
        ["0", "5"],
        ["1", "5", "7"],
        ["0.5", "1"],
        ["yes", "1"],
        ["up", "4", "5"],
        ["fine", "awful"],
        ["pass", "fine", "awful"],
        ["nan", "NA"],
    ],
)
def test_a_scale_that_is_not_known_is_not_guessed(cells: list[str]) -> None:
    with pytest.raises(ScaleError):
        scale_of(cells)


def test_a_verdict_is_never_stars_so_a_one_is_a_pass() -> None:
    assert scale_of(["1", "1"], verdicts=True) is THUMBS
    with pytest.raises(ScaleError, match="values '1', '5' do not show their scale"):
        scale_of(["1", "5"], verdicts=True)


@pytest.mark.parametrize(
    ("scale", "cell", "label"),
    [
        *((THUMBS, word.upper(), "up") for word in PASS_WORDS),
        *((WORDS, f" {word} ", "down") for word in FAIL_WORDS),
        (THUMBS, "1.0", "up"),
        (THUMBS, "00", "down"),
        (STARS, "4.0", 4),
        (parse_scale("Stars"), "1", 1),
        (parse_scale("thumbs"), "1", "up"),
        (parse_scale("pass-at=7"), "7", "up"),
        (parse_scale("pass-at=0,5"), "0.49", "down"),
        (parse_scale("fine=pass, Awful = fail,n/a=skip,meh=3"), "awful", "down"),
        (parse_scale("fine=pass,Awful=fail,n/a=skip,meh=3"), "N/A", None),
        (parse_scale("fine=pass,Awful=fail,n/a=skip,meh=3"), "meh", 3),
        (parse_scale("a=b=pass"), "a=b", "up"),
        (parse_scale("1=fail,2=pass"), "1.0", "down"),
    ],
)
def test_a_cell_has_its_label(scale: LabelScale, cell: str, label: object) -> None:
    assert scale.read(cell) == label


@pytest.mark.parametrize(
    ("scale", "cell", "expected"),
    [
        (WORDS, "1", "expected pass or fail"),
        (STARS, "6", "'6' is not a label, expected a whole number from 1 to 5"),
        (STARS, "4.5", "expected a whole number"),
        (parse_scale("pass-at=7"), "high", "expected a number"),
        (parse_scale("fine=pass,bad=fail"), "good\x1b", r"'good\\x1b' is not a label, expected 'fine' or 'bad'"),
    ],
)
def test_another_cell_is_refused_with_what_is_expected(scale: LabelScale, cell: str, expected: str) -> None:
    with pytest.raises(UnreadableCellError, match=expected):
        scale.read(cell)


@pytest.mark.parametrize("text", ["", "hearts", "good", "good=", "=pass", "good=great", "good=6", "good=pass,good=fail",
                                  "pass-at=high", "pass-at=7,bad=fail", "1=pass,1.0=fail"])  # fmt: skip
def test_an_invalid_scale_is_refused(text: str) -> None:
    with pytest.raises(ScaleError):
        parse_scale(text)
