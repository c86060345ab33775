"""Documents as tables: every number, a dash with its reason, and escaped control characters."""

import io
from collections.abc import Iterable
from datetime import date

import pytest
from rich.console import Console

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import SnapshotDocument
from eval_alignment.render import render, render_list
from sinks.api.responses import QueueListing

AT = 1_795_428_902_412


def document(facts: Iterable[Fact], queue: str = "support", **pairs: list[str]) -> SnapshotDocument:
    return Recount(facts).document(queue, today=date(2026, 11, 23), rules=CountingRules(criterion_metrics=pairs))


def compared(item: str, *, human: bool, metric: bool, name: str = "relevance", queue: str = "support") -> list[Fact]:
    return [
        Annotation(AT, f"a{item}", queue, item, thumbs="up" if human else "down"),
        Evaluation(AT, f"e{item}{name}", item, name, passed=metric),
    ]


def printed(snapshot: SnapshotDocument, width: int = 160) -> str:
    out = io.StringIO()
    render(snapshot, Console(file=out, width=width))
    return out.getvalue()


def row(text: str, metric: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{metric} ") and "%" in line]
    return line.split()


MIXED = [
    fact
    for number, (human, metric) in enumerate([(True, True)] * 5 + [(True, False)] * 2 + [(False, False)] * 3)
    for fact in compared(f"i{number}", human=human, metric=metric)
]


def test_a_metrics_numbers_stand_in_one_row_of_a_wide_terminal() -> None:
    text = printed(document(MIXED))
    # alignment, interval, baseline, n, misaligned, items, tp, fn, fp, tn, kappa, tpr, tnr, bias, gate
    expected = "relevance 80.0 % 49.0-94.3 % 70.0 % 10 2 10 5 2 0 3 0.60 71.4 % 100.0 % -20.0 pts undecided"
    assert row(text, "relevance") == expected.split()


def test_a_narrow_terminal_shows_the_same_numbers_in_two_tables() -> None:
    wide, narrow = (printed(document(MIXED), width) for width in (160, 80))
    rows = [line.split()[1:] for line in narrow.splitlines() if line.startswith("relevance ")]
    assert len(rows) == 2
    assert sorted([*rows[0], *rows[1]]) == sorted(row(wide, "relevance")[1:])
    assert max(map(len, narrow.splitlines())) <= 100


def test_an_undefined_number_is_a_dash_with_its_reason_below() -> None:
    text = printed(document(compared("i", human=True, metric=True)))
    assert row(text, "relevance").count("-") == 2
    assert "- relevance: kappa: one class" in text
    assert "- relevance: tnr: no human fail" in text
    assert "- items_queued, items_waiting_evaluation, items_errored, items_waiting_annotation: no queue items" in text
    # Undefined numbers that no column shows need no line.
    assert "mcc" not in text


def test_each_metric_is_stated_in_words_below_the_table() -> None:
    text = printed(document(MIXED))
    assert (
        "relevance: No clear direction. 2 too strict, 0 too lenient. Needs 20 more labels to decide the gate." in text
    )


def test_counts_agree_with_their_nouns() -> None:
    text = printed(document(compared("i", human=True, metric=True)))
    assert "1 comparison of 1 item, 1 of 1 annotation contributing" in text


def test_an_off_topic_metric_has_no_gate() -> None:
    text = printed(document(MIXED, overall=["another"]))
    assert row(text, "relevance")[-1] == "-"
    assert "- relevance: gate_state: off topic" in text


@pytest.mark.parametrize("width", [80, 160])
def test_control_characters_of_names_are_escaped(width: int) -> None:
    name = "a\x1b[2J[bold]\u202eb"
    snapshot = document(compared("i", human=True, metric=True, name=name, queue=name), queue=name)
    text = printed(snapshot, width)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]" in text


def test_the_list_shows_every_queue() -> None:
    snapshot = document(MIXED)
    empty = document([Annotation(AT, "a", "quiet", "i", thumbs="up")], queue="quiet")
    out = io.StringIO()
    listing = [QueueListing(queue=d["queue"], url=None, revision=0, cards=d["cards"]) for d in (snapshot, empty)]
    render_list(listing, Console(file=out, width=120))
    text = out.getvalue()
    assert row(text, "support") == ["support", "80.0", "%", "49.0-94.3", "%", "10", "2", "10", "10"]
    assert "- quiet: alignment: no comparisons" in text
