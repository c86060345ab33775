"""Alignment over time: days add up to the document, and older documents are read unchanged."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.facts import Fact
from aggregator.ratings import COUNTS
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.trend import AlignedShare, by_day, by_week, in_document
from tests.support import facts as strategies

days = st.sampled_from(("2026-11-22", "2026-11-23", "2026-11-24"))
vectors = st.lists(st.integers(0, 3), min_size=COUNTS, max_size=COUNTS)


@given(
    st.lists(st.tuples(days, st.sampled_from(strategies.CRITERIA), vectors), max_size=8),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_days_of_a_trend_add_up(parts: list[tuple[str, str, list[int]]], pass_stars: int, of_tone: int) -> None:
    rules = CountingRules(pass_stars=pass_stars, pass_stars_by_criterion={"tone": of_tone})
    whole: dict[str, list[int]] = defaultdict(lambda: [0] * 4)
    for day, criterion, vector in parts:
        whole[day] = [one + other for one, other in zip(whole[day], rules.outcomes(criterion, vector), strict=True)]
    shares = by_day(parts, dict.fromkeys(whole, 1), rules)
    assert list(shares) == sorted(day for day, outcomes in whole.items() if any(outcomes))
    for day, share in shares.items():
        tp, fn, tn, fp = whole[day]
        assert share == AlignedShare(tp + tn, tp + fn + tn + fp, 1)


def test_a_week_ends_on_its_day() -> None:
    days = {f"2026-11-{day:02}": AlignedShare(day, 20, 20) for day in (1, 2, 8, 16)}
    weeks = by_week(days, {"2026-11-01": 11, "2026-11-02": 12, "2026-11-08": 13, "2026-11-16": 14})
    assert weeks == {
        "2026-11-01": AlignedShare(1, 20, 11),
        "2026-11-02": AlignedShare(3, 40, 12),
        "2026-11-08": AlignedShare(10, 40, 13),
        "2026-11-16": AlignedShare(16, 20, 14),
    }


@given(strategies.histories)
def test_a_documents_share_is_its_own_alignment(history: list[Fact]) -> None:
    recount = Recount(history)
    for queue in recount.queues:
        document = recount.document(queue)
        whole = in_document(document, None, None)
        cards = document["cards"]
        assert (whole.alignment if whole else None) == cards["alignment"]
        if whole:
            assert whole.interval == (cards["alignment_low"], cards["alignment_high"])
        for criterion in document["criteria"]:
            part = in_document(document, criterion["criterion"], None)
            assert (part.alignment if part else None) == criterion["alignment"]
            for metric in criterion["metrics"]:
                share = in_document(document, criterion["criterion"], metric["metric"])
                assert (share.alignment if share else None) == metric["alignment"]
                if share:
                    assert share.interval == (metric["alignment_low"], metric["alignment_high"])


def test_a_criterion_or_metric_outside_the_document_has_no_share() -> None:
    document = Recount([]).document("q")
    assert in_document(document, "c", "m") is None
    assert in_document(document, "c", None) is None
    with pytest.raises(ValueError, match="criterion"):
        in_document(document, None, "m")
