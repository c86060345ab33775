"""An owner index that is made again from events: of every tool, with hashed names, and from an old copy."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sources.intake.changes import pending_batch
from sources.intake.rebuild import SourceEvents, rebuild
from sources.intake.staged import StagedIndex
from sources.intake.store import IndexStore, StoredIndex
from sources.ownership import OwnedRecord, RecordVersion, Statement
from sources.source import ToolSource
from tests.support.sources import RECEIVED, tool_source

POSITIONS = {"events": {0: 7}}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[StoredIndex]:
    store = IndexStore(tmp_path)
    yield store.index("labelstudio")
    store.close()


def rating(criterion: str = "clear", stars: int = 3, item: str = "i") -> Statement:
    return Statement(Annotation(1, "x", "q", item, criterion=criterion, annotator="ada", stars=stars), criterion)


def says(index: StoredIndex, native: str, at: int | None, *statements: Statement, **version: Any) -> list[Fact] | None:
    """What a record is sent as; the index remembers it."""
    staged = StagedIndex(index)
    said = RecordVersion(index.source, native, RECEIVED, at, **version).state(staged, statements)
    index.commit(pending_batch(staged.changes))
    return said


def deletes(index: StoredIndex, native: str, received: int = RECEIVED) -> list[Fact] | None:
    staged = StagedIndex(index)
    said = RecordVersion(index.source, native, received).delete(staged)
    index.commit(pending_batch(staged.changes))
    return said


def made(index: StoredIndex, *events: Fact, source: ToolSource | None = None) -> StoredIndex:
    """The index after it read these events."""
    folded = SourceEvents(source or tool_source("labelstudio"), index)
    for event in events:
        folded.add(event)
    rebuild(index, folded, POSITIONS)
    return index


def test_payloads_of_every_tool_lead_to_the_same_index(source_payloads: Path, tmp_path: Path) -> None:
    for number, case in enumerate(tomllib.loads((source_payloads / "cases.toml").read_text())["case"]):
        source = tool_source(case["source"], **case.get("config", {}))
        if not source.owns:
            continue
        events = []
        for file in (*case.get("after", ()), case["file"]):
            found = source.outcomes(source.read((source_payloads / file).read_bytes()), RECEIVED)
            events += [each.result for each in found if isinstance(each.result, msgspec.Struct)]
        store = IndexStore(tmp_path / str(number))
        again = made(store.index(source.rules.settings.prefix), *events, source=source)
        for native in source.index.natives():
            before, after = source.index.get(native), again.get(native)
            assert before is not None
            if before.rows:
                assert after is not None, (case["file"], native)
                assert {*after.rows} == {*before.rows}, (case["file"], native)
            assert not before.rows or [*again.holders(before.rows[0].identity)] == [native]
        store.close()


def test_a_record_that_is_read_again_says_nothing_and_a_newer_version_does(index: StoredIndex) -> None:
    made(index, *says_elsewhere("7", 10, rating(), rating("brief")))
    assert says(index, "7", 10, rating(), rating("brief")) == []
    record = index.get("7")
    assert record is not None
    assert (record.version, record.at, record.recovered) == (10, 10, False)
    assert [fact.id for fact in says(index, "7", 11, rating()) or ()] == [
        "labelstudio:7/clear@11",
        "labelstudio:7/brief@11~deleted",
    ]


def says_elsewhere(native: str, at: int | None, *statements: Statement, received: int = RECEIVED) -> list[Fact]:
    return list(RecordVersion("labelstudio", native, received, at).dated(statements))


def test_a_record_is_deleted_by_its_id_alone(index: StoredIndex) -> None:
    made(index, *says_elsewhere("7", 10, rating()))
    deletions = deletes(index, "7") or []
    assert [(fact.id, fact.deleted) for fact in deletions] == [(f"labelstudio:7/clear@{RECEIVED}~deleted", True)]


def test_a_webhook_of_an_earlier_version_is_older_and_what_a_list_has_is_not(index: StoredIndex) -> None:
    # An edit without a new time was dated when it was read, so the version in its id is too high.
    made(index, *says_elsewhere("7", 100, rating(stars=1)))
    assert says(index, "7", 10, rating(stars=5)) is None
    assert says(index, "7", 10, rating(stars=1), current=True) == []
    assert [fact.at for fact in says(index, "7", 10, rating(stars=5), current=True) or ()] == [RECEIVED]


@pytest.mark.parametrize("deleted", [False, True])
def test_an_id_of_a_far_version_that_no_source_has_sent_holds_no_later_edit_back(
    deleted: bool, index: StoredIndex
) -> None:
    """Anyone who may send events can send the ids of a source."""
    far = 99_999_999_999_999
    events = says_elsewhere("7", 10, rating())
    suffix, stars = ("~deleted", None) if deleted else ("", 1)
    id = f"labelstudio:7/clear@{far}{suffix}"
    forged = Annotation(20, id, "q", "i", criterion="clear", annotator="ada", stars=stars, deleted=deleted)
    made(index, *events, forged)
    record = index.get("7")
    assert record is not None
    assert record.version == 20, "not later than the event"
    assert says(index, "7", 19, rating(stars=4)) is None
    # A webhook that only has the time of the edit.
    assert [fact.at for fact in says(index, "7", 30, rating(stars=5)) or ()] == [30]
    assert deletes(index, "7", 40)
    assert [fact.at for fact in says(index, "7", 50, rating(stars=5)) or ()] == [50]


def test_versions_of_a_tool_that_numbers_them_are_kept(tmp_path: Path) -> None:
    number = 1_000_192_656_880_881_099
    source = tool_source("braintrust")
    store = IndexStore(tmp_path)
    events = RecordVersion(source.rules.settings.prefix, "7", RECEIVED, 10, number).dated([rating()])
    record = made(store.index(source.rules.settings.prefix), *events, source=source).get("7")
    store.close()
    assert record is not None
    assert record.version == number


def test_a_deletion_is_remembered(index: StoredIndex) -> None:
    events = says_elsewhere("7", 10, rating())
    gone = Annotation(20, "labelstudio:7/clear@20~deleted", "q", "i", criterion="clear", annotator="ada", deleted=True)
    made(index, gone, *events)
    assert index.get("7") == OwnedRecord(20, None, (), recovered=True)
    assert says(index, "7", 15, rating()) is None
    assert [fact.at for fact in says(index, "8", 15, rating()) or ()] == [21]


def test_a_failure_that_a_verdict_followed_is_not_stated_any_more(index: StoredIndex) -> None:
    failed = Evaluation(10, "labelstudio:7@10", "i", "tone", status="error")
    passed = Evaluation(11, "labelstudio:7@11", "i", "tone", passed=True)
    made(index, failed, passed)
    record = index.get("7")
    assert record is not None
    assert [row.fact for row in record.rows] == [passed]


@pytest.mark.parametrize("part", ["", "clear"])
def test_a_record_with_a_hashed_name_is_known_by_its_id(part: str, index: StoredIndex) -> None:
    native = "7" * 300
    statement = Statement(rating().fact, part)
    events = says_elsewhere(native, 10, statement)
    made(index, *events)
    assert index.get(native) is None
    deletion = deletes(index, native)
    assert deletion is not None
    assert [(fact.deleted, fact.id.split("@")[0]) for fact in deletion] == [(True, events[0].id.split("@")[0])]
    made(index, *events, *deletion)
    assert says(index, native, 9, statement) is None


def test_hashed_names_of_one_row_cost_no_more_each_the_more_they_are(
    index: StoredIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [
        fact
        for number in range(100)
        for fact in says(index, f"{number:03d}{'7' * 300}", number + 1, Statement(rating().fact, "")) or ()
    ]
    rows = 0
    read = IndexStore.read

    def counting(store: IndexStore, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        nonlocal rows
        found = read(store, sql, *values)
        rows += len(found)
        return found

    monkeypatch.setattr(IndexStore, "read", counting)
    made(index, *events)
    assert rows < 500


def test_an_old_copy_gets_what_was_said_since(index: StoredIndex) -> None:
    first = says(index, "7", 10, rating(), rating("brief")) or []
    kept = index.get("7")
    made(index, *first)
    assert index.get("7") == kept, "what is known stays as it is"
    later = says_elsewhere("7", 20, rating(stars=1))
    other = says_elsewhere("9", 20, rating("kind"))
    made(index, *later, *other)
    assert {fact.id for fact in deletes(index, "7") or ()} == {
        f"labelstudio:7/clear@{RECEIVED}~deleted",
        f"labelstudio:7/brief@{RECEIVED}~deleted",
    }
    assert len(deletes(index, "9") or ()) == 1


def test_what_is_in_the_outbox_is_known_and_sent_again(index: StoredIndex) -> None:
    staged = StagedIndex(index)
    said = RecordVersion("labelstudio", "7", RECEIVED, 10).state(staged, [rating()])
    assert said is not None
    index.prepare(pending_batch(staged.changes, said))
    newer = says_elsewhere("7", 20, rating(stars=1))
    made(index, *newer)
    batch = index.pending()
    assert batch is not None
    assert (len(batch.events), batch.records) == (1, [])
    index.commit(batch)
    assert [row.fact for row in (index.get("7") or OwnedRecord()).rows] == newer


def test_positions_are_kept_with_what_was_read(index: StoredIndex) -> None:
    assert index.positions() is None
    made(index)
    assert index.positions() == POSITIONS
    index.advance({"events": {0: 9}, "others": {}})
    assert index.positions() == {"events": {0: 9}, "others": {}}


def test_a_crash_while_it_is_made_begins_again(index: StoredIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(StoredIndex, "advance", fail)
        with pytest.raises(OSError, match="disk full"):
            made(index, *says_elsewhere("7", 10, rating()))
    assert (index.positions(), index.get("7")) == (None, None)


def test_pushed_records_that_no_list_has_are_told_from_later_ones(index: StoredIndex) -> None:
    for native, stream, listed in (("pushed", "", 5), ("listed", "ratings", 1), ("later", "", 9)):
        staged = StagedIndex(index)
        RecordVersion("labelstudio", native, RECEIVED, 10).state(staged, [rating(item=native)])
        index.commit(pending_batch(staged.changes, seen=[native], stream=stream, listed=listed))
    made(index, *says_elsewhere("recovered", 10, rating(item="recovered")))
    assert {*index.unlisted(6)} == {"pushed", "recovered"}
    index.commit(pending_batch(StagedIndex(index).changes, seen=["listed"], stream="", listed=5))
    assert {*index.unlisted(6)} == {"pushed", "recovered"}, "a push does not take a record from its list"
