"""The event at which the circuit breaker opens, against the literal rule."""

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy, HeldBack, seen_offsets
from streams.events.example import RejectedExample

BAD = RejectedExample("t:0:0", "malformed", "not JSON", "{")
POLICY = CircuitBreakerPolicy(in_a_row=3, share=0.2, window=10)


def blows_at(outcomes: list[bool]) -> int | None:
    """The literal rule: the number of events after which it first holds."""
    for seen in range(1, len(outcomes) + 1):
        so_far = outcomes[:seen]
        if not any(so_far[-4:]) and seen >= 4:
            return seen
        if seen >= 10 and so_far[-10:].count(False) > 2:
            return seen
    return None


@given(st.lists(st.booleans() | st.just(True), max_size=60))
def test_the_breaker_opens_when_its_rule_first_holds(outcomes: list[bool]) -> None:
    circuit_breaker = CircuitBreaker(POLICY)
    for seen, accepted in enumerate(outcomes, 1):
        if accepted:
            circuit_breaker.accepted("t")
        else:
            circuit_breaker.rejected("t", BAD)
        expected = blows_at(outcomes)
        assert (circuit_breaker.open_reason is not None) == (expected is not None and seen >= expected)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), max_size=10))
def test_a_run_of_accepted_events_counts_as_one_by_one(runs: list[tuple[int, int]]) -> None:
    together, singly = CircuitBreaker(POLICY), CircuitBreaker(POLICY)
    for accepted, rejected in runs:
        together.accepted("t", accepted)
        for _ in range(accepted):
            singly.accepted("t")
        for circuit_breaker in (together, singly):
            for _ in range(rejected):
                circuit_breaker.rejected("t", BAD)
        assert together.open_reason == singly.open_reason


def test_topics_are_counted_apart() -> None:
    circuit_breaker = CircuitBreaker(POLICY)
    for _ in range(3):
        circuit_breaker.rejected("a", BAD)
        circuit_breaker.rejected("b", BAD)
    assert circuit_breaker.open_reason is None
    circuit_breaker.rejected("a", BAD)
    assert circuit_breaker.open_reason == "4 events in a row of a were rejected"


def test_the_default_rule_is_the_documented_one() -> None:
    circuit_breaker = CircuitBreaker(CircuitBreakerPolicy())
    for in_a_row, open_reason in ((20, None), (21, "21 events in a row of t were rejected")):
        circuit_breaker.accepted("t")
        for _ in range(in_a_row):
            circuit_breaker.rejected("t", BAD)
        assert circuit_breaker.open_reason == open_reason
    slow = CircuitBreaker(CircuitBreakerPolicy())
    for _ in range(50):
        slow.accepted("t", 18)
        slow.rejected("t", BAD)
    slow.accepted("t", 50)
    reasons = [slow.open_reason]
    slow.rejected("t", BAD)
    reasons.append(slow.open_reason)
    assert reasons == [None, "51 of the last 1000 events of t were rejected"]


def test_it_names_the_first_of_the_events_that_opened_it() -> None:
    circuit_breaker = CircuitBreaker(POLICY)
    examples = [RejectedExample(f"t:0:{number}", "malformed", "not JSON", "{") for number in range(6)]
    circuit_breaker.rejected("t", examples[0])
    circuit_breaker.accepted("t")
    for example in examples[1:]:
        circuit_breaker.rejected("t", example)
    assert [example.place for example in circuit_breaker.offenders] == ["t:0:1", "t:0:2", "t:0:3"]


def test_seen_offsets_are_those_after_the_positions() -> None:
    held = HeldBack()
    held.saw("a", 7, 2, "a:0:5")
    held.saw("a", 9, 0, None)
    assert (held.invalid, held.last) == (2, "a:0:5")
    earlier = {"v": {"a": 2, "c": 1}, "w": {"a": 8, "b": 3, "c": 4}, "x": {"a": 5, "b": 1}}
    left = {"w": {"a": 9, "c": 4}, "x": {"a": 5}}
    assert seen_offsets("w", held, earlier, {"a": 2, "b": 3, "c": 1}) == left
    assert seen_offsets("y", HeldBack(), left, {"a": 9, "c": 4}) == {}
