"""In any order of arrival, versions of records end in the rows of the newest versions."""

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import facts
from aggregator.facts import MAX_ID, Annotation, Evaluation, Fact
from sources.ownership import HeldRow, MemoryIndex, OwnedRecord, RecordVersion, Statement, event_id

RECEIVED = 1_795_000_000_000
"""The first time of arrival; records change before it."""


def rating(criterion: str, stars: int, annotator: str = "ada") -> Statement:
    return Statement(
        Annotation(1, "x", "q", "item", criterion=criterion or "overall", annotator=annotator, stars=stars), criterion
    )


def verdict(*, passed: bool | None) -> Statement:
    status = "ok" if passed is not None else "error"
    return Statement(Evaluation(1, "x", "item", "tone", passed=passed, status=status))  # type: ignore[arg-type]


def statement(name: str, value: int) -> Statement:
    """A rating, or under the name `v` a verdict: a failure for 1 and 2."""
    return verdict(passed=value == 5 if value > 2 else None) if name == "v" else rating(name, value)


def version(
    native: str = "1", at: int | None = 10, received: int = RECEIVED, number: int | None = None
) -> RecordVersion:
    return RecordVersion("tool", native, received, at, number)


class ScannedIndex(MemoryIndex):
    """Looks at all rows of all records."""

    def best_other(self, identity: bytes, native: str) -> HeldRow | None:
        held = [
            HeldRow("", other, row)
            for other in self.natives()
            for row in (self.get(other) or OwnedRecord()).rows
            if other != native and row.identity == identity
        ]
        return max(held, key=lambda each: (each.row.key == identity, facts.version(each.row.fact)), default=None)


class Tool:
    """What arrived from a tool, and the rows of a ledger that has all of it."""

    def __init__(self, index: MemoryIndex | None = None) -> None:
        self.index = MemoryIndex() if index is None else index
        self.sent: list[Fact] = []

    def says(self, said: RecordVersion, *statements: Statement) -> list[Fact] | None:
        return self._send(said.state(self.index, statements))

    def deletes(self, said: RecordVersion) -> list[Fact] | None:
        return self._send(said.delete(self.index))

    def misses(self, said: RecordVersion) -> list[Fact]:
        return self._send(said.vanish(self.index)) or []

    def _send(self, changes: list[Fact] | None) -> list[Fact] | None:
        self.sent += changes or []
        return changes

    def rows(self) -> dict[bytes, object]:
        """Content of the rows that stand, by identity."""
        newest = merged(self.sent)
        return {
            key: content(fact) for key, fact in newest.items() if not fact.deleted and not hidden(key, fact, newest)
        }


def merged(sent: Iterable[Fact]) -> dict[bytes, Fact]:
    rows: dict[bytes, Fact] = {}
    for fact in sent:
        key = facts.key(fact)
        if key not in rows or facts.version(fact) > facts.version(rows[key]):
            rows[key] = fact
    return rows


def hidden(key: bytes, fact: Fact, rows: Mapping[bytes, Fact]) -> bool:
    """Whether a failure does not show, because its verdict stands or was deleted later."""
    if not key.startswith(b'["x"'):
        return False
    other = rows.get(b'["e"' + key[4:])
    return other is not None and (not other.deleted or facts.version(other) > facts.version(fact))


def content(fact: Fact) -> object:
    if isinstance(fact, Annotation):
        return fact.stars
    assert isinstance(fact, Evaluation)
    return fact.status if fact.failed else fact.passed


def test_a_deletion_names_the_identity_alone_and_wins_over_the_same_version() -> None:
    tool = Tool()
    [said] = tool.says(version(), rating("tone", 4)) or []
    [deleted] = tool.says(version(at=20)) or []
    assert said == Annotation(10, "tool:1/tone@10", "q", "item", criterion="tone", annotator="ada", stars=4)
    assert deleted == Annotation(
        20, "tool:1/tone@20~deleted", "q", "item", criterion="tone", annotator="ada", deleted=True
    )
    assert event_id("t", "1", "", 20, deleted=True) > event_id("t", "1", "", 20)


def test_a_repeated_version_changes_nothing() -> None:
    tool = Tool()
    tool.says(version(), rating("tone", 4), rating("care", 2))
    assert tool.says(version(received=RECEIVED + 5), rating("tone", 4), rating("care", 2)) == []


def test_an_edit_that_moves_no_time_is_dated_when_it_arrives() -> None:
    tool = Tool()
    tool.says(version(), rating("tone", 4), rating("care", 2))
    changes = tool.says(version(received=RECEIVED + 5), rating("tone", 5)) or []
    assert [(fact.at, fact.id) for fact in changes] == [
        (RECEIVED + 5, f"tool:1/tone@{RECEIVED + 5}"),
        (RECEIVED + 5, f"tool:1/care@{RECEIVED + 5}~deleted"),
    ]
    # A real edit before that time must be later than it.
    [again] = tool.says(version(at=20, received=RECEIVED + 9), rating("tone", 1)) or []
    assert again.at == RECEIVED + 6
    assert tool.rows() == {facts.key(again): 1}


def test_a_version_of_the_tool_orders_records_and_names_events() -> None:
    tool = Tool()
    [said] = tool.says(version(number=1000192656880881099), rating("", 4)) or []
    assert said.id == "tool:1@1000192656880881099"
    assert tool.says(version(number=1000192656880881098), rating("", 5)) is None
    [edited] = tool.says(version(number=1000192656880881100), rating("", 5)) or []
    assert (edited.id, edited.at) == ("tool:1@1000192656880881100", 11)
    tool.deletes(version(at=None))
    assert tool.says(version(number=1000192656880881100), rating("", 5)) is None


def test_a_record_without_a_time_is_dated_when_it_arrives() -> None:
    tool = Tool()
    [said] = tool.says(version(at=None), rating("", 4)) or []
    assert said.at == RECEIVED
    assert tool.says(version(at=None, received=RECEIVED + 9), rating("", 4)) == []
    [edited] = tool.says(version(at=None, received=RECEIVED - 9), rating("", 5)) or []
    assert edited.at == RECEIVED + 1


def test_an_edit_that_arrives_after_the_deletion_does_not_revive_the_record() -> None:
    tool = Tool()
    tool.says(version(), rating("tone", 4))
    tool.deletes(version(at=None))
    assert tool.says(version(at=20), rating("tone", 5)) is None
    assert tool.rows() == {}


def test_a_record_whose_deletion_arrives_first_is_never_said() -> None:
    tool = Tool()
    assert tool.deletes(version(at=None)) == []
    assert tool.says(version(at=20), rating("tone", 5)) is None


def test_a_deletion_with_a_time_is_compared_by_it() -> None:
    tool = Tool()
    tool.says(version(at=20), rating("tone", 4))
    assert tool.deletes(version(at=10)) is None
    assert len(tool.rows()) == 1


def test_a_record_that_vanished_counts_again_when_it_appears_again() -> None:
    tool = Tool()
    tool.says(version(), rating("tone", 4))
    [gone] = tool.misses(version(at=None))
    assert gone.deleted and tool.rows() == {}
    assert tool.misses(version(at=None, received=RECEIVED + 1)) == []
    [back] = tool.says(version(received=RECEIVED + 2), rating("tone", 4)) or []
    assert (back.at, back.deleted) == (RECEIVED + 2, False)


def test_a_record_that_gets_a_rule_later_keeps_its_time() -> None:
    tool = Tool()
    tool.says(version())
    [said] = tool.says(version(received=RECEIVED + 9), rating("tone", 4)) or []
    assert said.at == 10


@pytest.mark.parametrize("outcomes", list(permutations([True, None, False], 2)))
def test_a_record_that_fails_now_shows_its_failure_and_one_that_succeeds_its_verdict(
    outcomes: tuple[bool | None, bool | None],
) -> None:
    tool = Tool()
    for at, passed in enumerate(outcomes, start=10):
        tool.says(version(at=at), verdict(passed=passed))
    assert list(tool.rows().values()) == ["error" if outcomes[-1] is None else outcomes[-1]]
    tool.deletes(version(at=None))
    assert tool.rows() == {}


def test_a_rating_that_was_deleted_and_given_again_under_another_id_stands() -> None:
    tool = Tool()
    tool.says(version("1", at=10), rating("tone", 4))
    tool.says(version("2", at=20), rating("tone", 5))
    assert tool.deletes(version("1", at=None)) == [
        Annotation(RECEIVED, f"tool:2/tone@{RECEIVED}", "q", "item", criterion="tone", annotator="ada", stars=5)
    ]
    assert list(tool.rows().values()) == [5]
    tool.deletes(version("2", at=None, received=RECEIVED + 1))
    assert tool.rows() == {}


def test_what_another_record_has_is_restated_only_if_the_deletion_is_later() -> None:
    tool = Tool()
    tool.says(version("1", at=10), rating("tone", 4))
    tool.says(version("2", at=30), rating("tone", 5))
    assert tool.deletes(version("1", at=20)) == []
    assert list(tool.rows().values()) == [5]


@pytest.mark.parametrize(("failed", "judged"), [("1", "2"), ("2", "1")])
def test_a_failure_shows_once_the_verdict_of_another_record_is_deleted(failed: str, judged: str) -> None:
    tool = Tool()
    tool.says(version(failed, at=10), verdict(passed=None))
    tool.says(version(judged, at=20), verdict(passed=True))
    assert list(tool.rows().values()) == [True]
    tool.deletes(version(judged, at=None))
    assert list(tool.rows().values()) == ["error"]


def test_the_verdict_of_another_record_stands_before_a_failure_that_is_newer() -> None:
    tool = Tool()
    tool.says(version("1", at=10), verdict(passed=True))
    tool.says(version("2", at=20), verdict(passed=None))
    tool.says(version("3", at=30), verdict(passed=False))
    tool.deletes(version("3", at=None))
    assert list(tool.rows().values()) == [True]


def test_a_rating_that_is_read_after_the_deletion_of_an_earlier_one_stands() -> None:
    tool = Tool()
    tool.says(version("1", at=10), rating("tone", 4))
    tool.deletes(version("1", at=None))
    [said] = tool.says(version("2", at=20), rating("tone", 5)) or []
    assert (said.at, said.id) == (RECEIVED + 1, f"tool:2/tone@{RECEIVED + 1}")
    assert list(tool.rows().values()) == [5]


def test_a_long_id_and_one_that_is_not_text_are_hashed() -> None:
    long, broken = event_id("tool", "n" * 300, "p", 1), event_id("tool", "line\nbreak", "", 1)
    assert len(long) <= MAX_ID and long.startswith("tool:") and long.endswith("@1")
    assert long != event_id("tool", "n" * 300, "q", 1)
    assert "\n" not in broken
    assert event_id("tool", "n" * 200, "", 1) == f"tool:{'n' * 200}@1"


def parsed(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> int:
    """How many facts a change parses."""
    counted = Counter[str]()
    parse = facts.parse

    def count(key: bytes, value: bytes) -> Fact:
        counted["facts"] += 1
        return parse(key, value)

    with monkeypatch.context() as patched:
        patched.setattr(facts, "parse", count)
        change()
    return counted["facts"]


def test_records_that_leave_one_row_cost_no_more_each_the_more_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(records: int) -> int:
        tool = Tool()
        for number in range(records):
            tool.says(version(str(number), at=number + 1), rating("tone", 4))
        # The one that stands goes first, so that each of the others stands for a time.
        deletions = [version(str(number), None, RECEIVED + records - number) for number in reversed(range(records))]
        return parsed(monkeypatch, lambda: [tool.deletes(each) for each in deletions])

    assert leave(800) < 10 * leave(100)


class CountingIndex(MemoryIndex):
    """Counts the rows of records that are put."""

    rows = 0

    def put(self, native: str, owned: OwnedRecord) -> None:
        self.rows += len(owned.rows)
        super().put(native, owned)


def test_rows_that_one_record_leaves_to_another_cost_no_more_each_the_more_they_are() -> None:
    index = CountingIndex()
    tool = Tool(index)
    for native in "12":
        tool.says(version(native), *(rating("tone", 4, f"person {number}") for number in range(100)))
    tool.deletes(version("2", at=None))
    assert len(tool.rows()) == 100
    assert index.rows == 200


def test_a_row_that_is_left_to_a_record_costs_no_more_the_more_rows_it_has() -> None:
    index = CountingIndex()
    tool = Tool(index)
    tool.says(version("large"), *(rating("tone", 4, f"person {number}") for number in range(500)))
    for number in range(100):
        tool.says(version(str(number), at=20), rating("tone", 3, f"person {number}"))
    for number in range(100):
        tool.deletes(version(str(number), at=None))
    assert len(tool.rows()) == 500
    assert index.rows == 600
    large = index.get("large")
    assert large is not None and large.at == max(row.fact.at for row in large.rows) > 20


def test_an_edited_record_does_not_keep_its_former_rows() -> None:
    index = MemoryIndex()
    for at in range(1, 1_000):
        version(at=at).state(index, [rating("tone", 1 + at % 5)])
    assert len(pickle.dumps(index)) < 5_000


statements = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), unique_by=lambda each: each[0], max_size=3)


@given(st.lists(statements, min_size=1, max_size=4), st.randoms(use_true_random=False), st.booleans())
def test_versions_in_any_order_and_repeated_end_in_the_rows_of_the_newest(
    versions: Sequence[Sequence[tuple[str, int]]], random: object, deleted: bool
) -> None:
    arrivals = [*range(len(versions)), *range(len(versions))] + [len(versions)] * 2 * deleted
    random.shuffle(arrivals)  # type: ignore[attr-defined]
    tool = Tool()
    for received, number in enumerate(arrivals, start=RECEIVED):
        if number == len(versions):
            tool.deletes(version(at=None, received=received))
        else:
            tool.says(version(at=number + 1, received=received), *(rating(*each) for each in versions[number]))
    expected = [] if deleted else sorted(stars for _, stars in versions[-1])
    assert sorted(map(str, tool.rows().values())) == list(map(str, expected))


history = st.lists(
    st.tuples(
        st.sampled_from(("says", "deletes", "misses")),
        st.sampled_from("123"),
        st.dictionaries(st.sampled_from("av"), st.integers(1, 5), max_size=2),
        st.integers(0, 3),
    ),
    max_size=12,
)


def replay(tool: Tool, steps: Sequence[tuple[str, str, dict[str, int], int]]) -> None:
    time = dict.fromkeys("123", 1)
    for received, (what, native, ratings, moved) in enumerate(steps, start=RECEIVED):
        time[native] += moved
        if what == "says":
            tool.says(version(native, time[native], received), *(statement(*each) for each in ratings.items()))
        elif what == "deletes":
            tool.deletes(version(native, None, received))
        else:
            tool.misses(version(native, None, received))


@given(history)
def test_a_row_stands_exactly_while_a_record_has_it(steps: Sequence[tuple[str, str, dict[str, int], int]]) -> None:
    """The records share identities. Where one has a verdict and another a failure, the verdict stands."""
    tool, scanned = Tool(), Tool(ScannedIndex())
    for each in (tool, scanned):
        replay(each, steps)
    assert tool.sent == scanned.sent
    held: dict[bytes, set[object]] = {}
    for native in tool.index.natives():
        for row in (tool.index.get(native) or OwnedRecord()).rows:
            held.setdefault(row.key, set()).add(content(row.fact))
    held = {key: values for key, values in held.items() if not key.startswith(b'["x"') or b'["e"' + key[4:] not in held}
    rows = tool.rows()
    assert rows.keys() == held.keys()
    assert all(rows[key] in held[key] for key in rows)
