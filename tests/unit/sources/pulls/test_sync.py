"""The pull of a source: windows, sweeps, cursors, and what is taken to be deleted."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sources.intake.rebuild import SourceEvents, rebuild
from sources.pulls.credentials import CredentialsError
from sources.pulls.pull import PullError
from sources.pulls.state import load
from sources.pulls.sync import OVERLAP_MS, PullRequest, StreamReport
from tests.support.fake_tools.base import FakeClock, iso
from tests.support.fake_tools.langfuse import FakeLangfuse
from tests.support.pulls import PulledSource, pulled_settings
from tests.support.sources import RECEIVED

DAY = 86_400_000
MINUTE = 60_000
FULL = PullRequest(full=True)
CONFIG: dict[str, Any] = {"queue": "support", "criteria": {"quality": {"rating": "stars"}}}


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> FakeLangfuse:
    monkeypatch.setattr("sources.pulls.tools.langfuse.LIMIT", 3)
    return FakeLangfuse(FakeClock(RECEIVED))


@pytest.fixture
def source(tool: FakeLangfuse, tmp_path: Path) -> Iterator[PulledSource]:
    opened = PulledSource(tmp_path, tool, pulled_settings(tmp_path, "langfuse", **CONFIG))
    yield opened
    opened.store.close()


def rate(tool: FakeLangfuse, item: str, stars: int = 4, **fields: Any) -> str:
    return tool.add_score("quality", stars, item=item, author="ada", **fields)


async def scores(source: PulledSource, request: PullRequest | None = None) -> StreamReport:
    """What a pull does with the scores."""
    return (await source.pull.run(request))[0]


def items(source: PulledSource) -> set[str]:
    """Items with a rating."""
    return {key[2] for key in source.rows() if key[0] == "annotation"}


def windows(tool: FakeLangfuse) -> list[str | None]:
    """The beginnings of the windows in which scores were asked for, once for each reading."""
    asked = [request.url.params for request in tool.requests if request.url.path.endswith("scores")]
    return [parameters.get("fromTimestamp") for parameters in asked if "cursor" not in parameters]


async def test_what_is_new_becomes_events_and_what_is_old_none(tool: FakeLangfuse, source: PulledSource) -> None:
    for number in range(7):
        rate(tool, f"t{number}")
    first = await scores(source)
    assert (first.records, first.events, first.unchanged, first.pages) == (7, 7, 0, 3)
    tool.clock.advance(MINUTE)
    rate(tool, "t7")
    second = await scores(source)
    assert (second.records, second.events, second.unchanged) == (8, 1, 7)
    assert items(source) == {f"t{number}" for number in range(8)}


async def test_the_first_reading_is_of_the_last_days_the_next_of_the_last_hour(
    tool: FakeLangfuse, source: PulledSource
) -> None:
    await scores(source)
    later = tool.clock.advance(MINUTE)
    await scores(source)
    await scores(source)
    assert windows(tool) == [
        iso(RECEIVED - RECEIVED % DAY - 30 * DAY),
        iso(RECEIVED - OVERLAP_MS),
        iso(later - OVERLAP_MS),
    ]


@pytest.mark.parametrize("earlier", [0, 1, 999, 59 * MINUTE, OVERLAP_MS])
async def test_a_record_that_is_listed_late_is_read(tool: FakeLangfuse, source: PulledSource, earlier: int) -> None:
    for _ in range(2):
        await scores(source)
        tool.clock.advance(MINUTE)
    cursor = load(source.index).streams["scores"].cursor
    assert cursor is not None
    # Its time is that of the cursor or before, and it was not in the list then.
    rate(tool, "late", timestamp=cursor - earlier)
    report = await scores(source)
    assert (report.sweep, report.events) == (False, 1)


async def test_a_sweep_comes_after_its_interval(tool: FakeLangfuse, source: PulledSource) -> None:
    rate(tool, "t1")
    await scores(source)
    tool.clock.advance(MINUTE)
    assert not (await scores(source)).sweep
    tool.clock.advance(3_600_000)
    assert (await scores(source)).sweep


async def test_after_a_long_pause_everything_since_the_cursor_is_read(tool: FakeLangfuse, source: PulledSource) -> None:
    await scores(source)
    tool.clock.advance(DAY)
    rate(tool, "t1")
    tool.clock.advance(60 * DAY)
    assert (await scores(source)).events == 1
    assert windows(tool)[-1] == iso(RECEIVED - OVERLAP_MS)


async def test_full_reads_what_is_older_than_the_window(tool: FakeLangfuse, source: PulledSource) -> None:
    rate(tool, "old", timestamp=RECEIVED - 40 * DAY)
    assert (await scores(source)).events == 0
    assert (await scores(source, FULL)).events == 1
    assert windows(tool)[-1] is None


async def test_an_edit_without_a_new_time_is_seen_by_the_next_reading(tool: FakeLangfuse, source: PulledSource) -> None:
    id = rate(tool, "t1", 2)
    await scores(source)
    tool.clock.advance(MINUTE)
    tool.scores[id]["value"] = 5
    assert (await scores(source)).events == 1
    assert source.rows() == {("annotation", "support", "t1", "quality", "ada"): (5, None)}


async def test_a_record_that_vanished_is_deleted_by_the_next_sweep(tool: FakeLangfuse, source: PulledSource) -> None:
    ids = [rate(tool, f"t{number}") for number in range(7)]
    await scores(source)
    tool.clock.advance(MINUTE)
    del tool.scores[ids[3]]
    assert (await scores(source)).vanished == 0
    assert "t3" in items(source)
    tool.clock.advance(3_600_000)
    swept = await scores(source)
    assert (swept.vanished, swept.events) == (1, 1)
    assert items(source) == {"t0", "t1", "t2", "t4", "t5", "t6"}
    tool.clock.advance(3_600_000)
    assert (await scores(source)).vanished == 0


async def test_a_sweep_deletes_nothing_outside_of_its_window(tool: FakeLangfuse, source: PulledSource) -> None:
    start = RECEIVED - RECEIVED % DAY - 30 * DAY
    before = rate(tool, "before", timestamp=start - 1)
    inside = rate(tool, "inside", timestamp=start)
    rate(tool, "t1")
    await scores(source, FULL)
    del tool.scores[before], tool.scores[inside]
    tool.clock.advance(3_600_000)
    assert (await scores(source)).vanished == 1
    assert items(source) == {"before", "t1"}
    assert (await scores(source, FULL)).vanished == 1
    assert items(source) == {"t1"}


async def test_a_reading_that_fails_deletes_nothing_and_keeps_its_cursor(
    tool: FakeLangfuse, source: PulledSource
) -> None:
    ids = [rate(tool, f"t{number}") for number in range(7)]
    await scores(source)
    tool.clock.advance(3_600_000)
    del tool.scores[ids[6]]
    rate(tool, "t7", timestamp=RECEIVED + 1)
    before, answer = load(source.index).streams["scores"], tool.answer

    def fail(path: str, parameters: dict[str, str]) -> object:
        return 500 if "cursor" in parameters else answer(path, parameters)

    tool.answer = fail  # type: ignore[method-assign, assignment]
    failed = await scores(source)
    assert failed.error is not None and "status 500" in failed.error
    assert failed.vanished == 0
    state = load(source.index)
    assert state.streams["scores"] == before
    assert (state.error, state.succeeded) == (f"scores: {failed.error}", RECEIVED)
    # What was read before the failure is taken.
    assert items(source) == {f"t{number}" for number in range(8)}
    tool.answer = answer  # type: ignore[method-assign]
    assert (await scores(source)).vanished == 1
    assert load(source.index).error is None


async def test_a_stream_that_fails_does_not_keep_the_others_from_being_read(
    tool: FakeLangfuse, source: PulledSource
) -> None:
    tool.add_item("support", "t1")
    answer = tool.answer

    def fail(path: str, parameters: dict[str, str]) -> object:
        return 500 if path.endswith("scores") else answer(path, parameters)

    tool.answer = fail  # type: ignore[method-assign, assignment]
    failed, read = await source.pull.run()
    assert failed.error is not None
    assert (read.stream, read.error, read.events) == ("queue-items", None, 1)


@pytest.mark.parametrize("confirm", [False, True])
async def test_an_empty_list_deletes_only_what_was_confirmed(
    tool: FakeLangfuse, source: PulledSource, confirm: bool
) -> None:
    for number in range(3):
        rate(tool, f"t{number}")
    await scores(source)
    tool.scores.clear()
    tool.clock.advance(3_600_000)
    for request, remedy in ((None, "run `source sync --full`"), (FULL, "run it again, or with `--confirm-empty`")):
        report = await scores(source, request)
        (note,) = report.notes
        assert note.startswith("the list is empty, but 3 records of it are known: none is taken to be deleted.")
        assert note.endswith(remedy)
        assert (report.events, len(items(source))) == (0, 3)
        if confirm:
            break
    report = await scores(source, PullRequest(full=True, confirm_empty=confirm))
    assert (report.vanished, report.events, report.notes, items(source)) == (3, 3, [], set())


async def test_two_empty_full_readings_count_only_in_a_row(tool: FakeLangfuse, source: PulledSource) -> None:
    rate(tool, "t1")
    await scores(source)
    kept = dict(tool.scores)
    tool.scores.clear()
    await scores(source, FULL)
    tool.scores.update(kept)
    await scores(source)
    tool.scores.clear()
    assert (await scores(source, FULL)).vanished == 0
    assert items(source) == {"t1"}


async def test_empty_readings_without_full_confirm_nothing(tool: FakeLangfuse, source: PulledSource) -> None:
    rate(tool, "t1")
    await scores(source)
    tool.scores.clear()
    for _ in range(3):
        tool.clock.advance(3_600_000)
        await scores(source)
    assert (await scores(source, FULL)).vanished == 0
    assert items(source) == {"t1"}


async def test_a_record_that_cannot_be_read_may_be_any_so_none_is_deleted(
    tool: FakeLangfuse, source: PulledSource
) -> None:
    ids = [rate(tool, f"t{number}") for number in range(4)]
    await scores(source)
    tool.clock.advance(3_600_000)
    del tool.scores[ids[0]]
    tool.scores[ids[1]]["subject"] = None
    report = await scores(source)
    assert report.notes == ["a record cannot be read, and may be any: no record is taken to be deleted"]
    assert (report.rejected, report.vanished, len(items(source))) == (1, 0, 4)


async def test_a_page_of_which_nothing_can_be_read_keeps_no_other_from_being_read(
    tool: FakeLangfuse, source: PulledSource
) -> None:
    rate(tool, "t1")
    tool.scores[rate(tool, "t2", timestamp=RECEIVED - DAY)]["subject"] = None
    report = await scores(source)
    assert (report.error, report.rejected, report.events) == (None, 1, 1)


async def test_a_tool_whose_records_cannot_be_read_at_all_is_an_error(tool: FakeLangfuse, source: PulledSource) -> None:
    tool.scores[rate(tool, "t1")]["subject"] = None
    report = await scores(source)
    assert report.error is not None and report.error.startswith("no record can be read: record 1: ")
    assert load(source.index).streams["scores"].cursor is None


async def test_what_a_shifting_list_hides_is_looked_for_again(tool: FakeLangfuse, source: PulledSource) -> None:
    ids = [rate(tool, f"t{number}") for number in range(4)]
    await scores(source)
    tool.clock.advance(3_600_000)
    answer, hidden = tool.answer, [ids[2]]

    def hide(path: str, parameters: dict[str, str]) -> Any:
        document = answer(path, parameters)
        if path.endswith("scores") and hidden and any(each["id"] == hidden[0] for each in document["data"]):
            id = hidden.pop()
            document["data"] = [each for each in document["data"] if each["id"] != id]
        return document

    tool.answer = hide  # type: ignore[method-assign, assignment]
    report = await scores(source)
    assert hidden == []
    assert (report.vanished, report.records, report.unchanged) == (0, 4, 3)
    assert len(items(source)) == 4


async def test_an_answer_that_the_broker_lost_is_repeated(tool: FakeLangfuse, source: PulledSource) -> None:
    rate(tool, "t1")
    source.broker.lost_answers = 1
    with pytest.raises(ConnectionError):
        await scores(source)
    assert load(source.index).streams == {}
    assert (await scores(source)).unchanged == 1
    first, again = source.broker.facts
    assert first == again


async def test_a_list_without_a_window_rests_for_ten_times_as_long_as_it_took(
    tool: FakeLangfuse, source: PulledSource
) -> None:
    tool.add_item("support", "t1")

    def slowly() -> None:
        tool.clock.advance(MINUTE)

    tool.before_answer = slowly
    read = {report.stream: report for report in await source.pull.run()}
    assert read["queue-items"].sweep
    # Two requests took two minutes.
    tool.before_answer = lambda: None
    tool.clock.advance(17 * MINUTE)
    assert [report.stream for report in await source.pull.run()] == ["scores"]
    tool.clock.advance(2 * MINUTE)
    assert [report.stream for report in await source.pull.run()] == ["scores", "queue-items"]


async def test_refused_credentials_are_the_error_of_the_source(tool: FakeLangfuse, source: PulledSource) -> None:
    tool.headers = {"authorization": "Basic other"}
    failed, _ = await source.pull.run()
    assert failed.error is not None
    assert "check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY in " in failed.error
    assert "pk-lf" not in failed.error


async def test_missing_credentials_are_the_error_of_the_source(tool: FakeLangfuse, tmp_path: Path) -> None:
    settings = pulled_settings(tmp_path, "langfuse", **CONFIG, credentials_file=None)
    source = PulledSource(tmp_path, tool, settings)
    with pytest.raises(CredentialsError, match=r"sources\.support\.credentials_file is not set"):
        await source.pull.run()
    assert "LANGFUSE_PUBLIC_KEY" in (load(source.index).error or "")
    source.store.close()


async def test_the_state_survives_the_process(tool: FakeLangfuse, source: PulledSource, tmp_path: Path) -> None:
    rate(tool, "t1")
    await scores(source)
    source.store.close()
    tool.clock.advance(MINUTE)
    again = PulledSource(tmp_path, tool, pulled_settings(tmp_path, "langfuse", **CONFIG))
    assert not (await scores(again)).sweep
    assert again.broker.facts == []
    source.store = again.store


def _index_made_again(source: PulledSource, directory: Path) -> PulledSource:
    """The source with an index that has only what its events state."""
    again = PulledSource(directory, source.tool, source.pull.settings)
    events = SourceEvents(again.intake.source, again.index)
    for fact in source.broker.facts:
        events.add(fact)
    rebuild(again.index, events, {})
    return again


async def test_a_full_reading_deletes_what_vanished_while_the_index_was_lost(
    tool: FakeLangfuse, source: PulledSource, tmp_path: Path
) -> None:
    gone = rate(tool, "t1")
    for number in range(2, 5):
        rate(tool, f"t{number}")
    await source.pull.run()
    del tool.scores[gone]
    tool.clock.advance(MINUTE)
    again = _index_made_again(source, tmp_path / "again")
    assert [report.events for report in await again.pull.run()] == [0, 0], "a window does not have every record"
    reports = await again.pull.run(FULL)
    assert [fact.item for fact in again.broker.facts] == ["t1"]
    assert [report.events for report in reports] == [0, 1]
    assert [report.events for report in await again.pull.run(FULL)] == [0, 0]
    again.store.close()


@pytest.mark.parametrize("trouble", ["unreadable", "failing", "empty"])
async def test_a_full_reading_that_is_not_whole_deletes_no_record_of_an_unknown_stream(
    trouble: str, tool: FakeLangfuse, source: PulledSource, tmp_path: Path
) -> None:
    gone, other = rate(tool, "t1"), rate(tool, "t2")
    await source.pull.run()
    again = _index_made_again(source, tmp_path / "again")
    tool.clock.advance(MINUTE)
    del tool.scores[gone]
    match trouble:
        case "unreadable":
            tool.scores[other]["subject"] = None
        case "failing":
            tool.answer = lambda *_: 500  # type: ignore[method-assign]
        case _:
            del tool.scores[other]
    with contextlib.suppress(PullError):
        await again.pull.run(FULL)
    assert again.broker.facts == []
    again.store.close()
