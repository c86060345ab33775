"""Rejected events of the last hour, by reason."""

from hypothesis import given
from hypothesis import strategies as st

from sinks.rejections import HOUR_MS, OTHER, RecentRejections

NOW = 1_780_000_000_000 - 1_780_000_000_000 % 60_000
MINUTE_MS = 60_000


@given(st.lists(st.tuples(st.integers(-3 * HOUR_MS, HOUR_MS // 2), st.sampled_from(["misrouted", "malformed", "x"]))))
def test_it_counts_what_was_rejected_in_the_hour_to_the_minute(events: list[tuple[int, str]]) -> None:
    recent = RecentRejections()
    for offset, reason in events:
        recent.note(NOW + offset, reason, NOW)
    shown = recent.by_reason(NOW)
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    for reason in ("misrouted", "malformed", OTHER):
        named = [offset for offset, word in events if (word if word != "x" else OTHER) == reason]
        assert sum(offset >= -HOUR_MS + MINUTE_MS for offset in named) == shown.get(reason, 0)


def test_old_minutes_are_forgotten_and_wrong_times_ignored() -> None:
    recent = RecentRejections()
    recent.note(NOW, "misrouted", NOW)
    recent.note(NOW * 2, "misrouted", NOW)
    recent.note(NOW + HOUR_MS, "malformed", NOW + HOUR_MS)
    assert recent.by_reason(NOW + HOUR_MS) == {"malformed": 1}
    assert recent.by_reason(NOW + 3 * HOUR_MS) == {}
