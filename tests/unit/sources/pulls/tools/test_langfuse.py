"""The client of Langfuse: every record is in a page, also when records are deleted or added while the list is read."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sources.pulls.pull import PulledPage, PullError, Stream
from tests.support.fake_tools.base import FakeClock
from tests.support.fake_tools.langfuse import FakeLangfuse
from tests.support.pulls import opened, pulled_settings, read
from tests.support.sources import RECEIVED

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.pulls.tools.langfuse.LIMIT", 3)


@pytest.fixture
def tool() -> FakeLangfuse:
    return FakeLangfuse(FakeClock(RECEIVED))


def ids(pages: Sequence[PulledPage]) -> list[str]:
    """The ids on the pages, in their order."""
    return [record["id"] for page in pages for record in json.loads(page.content)["data"]]


async def pulled(tool: FakeLangfuse, tmp_path: Path, stream: str, since: int | None = None) -> list[PulledPage]:
    async with opened(pulled_settings(tmp_path, "langfuse", queue="support"), tool.transport) as streams:
        return await read(named(streams, stream), since)


def named(streams: Sequence[Stream], name: str) -> Stream:
    return next(stream for stream in streams if stream.name == name)


async def test_all_scores_are_read_the_newest_first(tool: FakeLangfuse, tmp_path: Path) -> None:
    given = [tool.add_score("quality", 4, item=f"t{tool.clock.advance(1)}") for _ in range(8)]
    assert ids(await pulled(tool, tmp_path, "scores")) == given[::-1]


async def test_scores_of_one_millisecond_are_all_read(tool: FakeLangfuse, tmp_path: Path) -> None:
    given = [tool.add_score("quality", 4, item=f"t{number}") for number in range(8)]
    assert sorted(ids(await pulled(tool, tmp_path, "scores"))) == sorted(given)


async def test_a_window_begins_with_its_first_millisecond(tool: FakeLangfuse, tmp_path: Path) -> None:
    given = [tool.add_score("quality", 4, item="t1", timestamp=RECEIVED + offset) for offset in (-1, 0, 1)]
    assert ids(await pulled(tool, tmp_path, "scores", RECEIVED)) == [given[2], given[1]]


async def test_a_page_has_scores_of_one_day_and_its_lowest_time(tool: FakeLangfuse, tmp_path: Path) -> None:
    times = [RECEIVED - 2 * DAY, RECEIVED - 1, RECEIVED, RECEIVED + 1]
    for time in times:
        tool.add_score("quality", 4, item="t1", timestamp=time)
    pages = await pulled(tool, tmp_path, "scores")
    assert [(len(ids([page])), page.listed) for page in pages] == [(3, RECEIVED - 1), (1, RECEIVED - 2 * DAY)]


async def test_scores_that_vanish_while_the_list_is_read_hide_no_other(tool: FakeLangfuse, tmp_path: Path) -> None:
    given = [tool.add_score("quality", 4, item=f"t{tool.clock.advance(1)}") for _ in range(9)]
    doomed = given[::-1][:4]

    def delete() -> None:
        if len(tool.requests) == 2:
            for id in doomed:
                del tool.scores[id]

    tool.before_answer = delete
    assert {*given} - {*doomed} <= {*ids(await pulled(tool, tmp_path, "scores"))}


async def test_the_items_of_all_queues_are_read(tool: FakeLangfuse, tmp_path: Path) -> None:
    given = [tool.add_item(f"queue/{number % 5}", f"t{tool.clock.advance(1)}") for number in range(20)]
    pages = await pulled(tool, tmp_path, "queue-items")
    assert sorted(ids(pages)) == sorted(given)
    assert {page.listed for page in pages} == {None}


@pytest.mark.parametrize("at_request", [3, 4])
async def test_items_that_move_to_a_page_before_are_read(tool: FakeLangfuse, tmp_path: Path, at_request: int) -> None:
    given = [tool.add_item("support", f"t{tool.clock.advance(1)}") for _ in range(9)]
    doomed = given[::-1][:3]

    def delete() -> None:
        if len(tool.requests) == at_request:
            for id in doomed:
                del tool.queues["support"][id]

    tool.before_answer = delete
    assert {*given} - {*doomed} <= {*ids(await pulled(tool, tmp_path, "queue-items"))}


async def test_new_items_keep_no_list_from_its_end(tool: FakeLangfuse, tmp_path: Path) -> None:
    given = [tool.add_item("support", f"t{tool.clock.advance(1)}") for _ in range(9)]

    def add() -> None:
        tool.add_item("support", f"t{tool.clock.advance(1)}")

    tool.before_answer = add
    assert {*given} <= {*ids(await pulled(tool, tmp_path, "queue-items"))}


async def test_queue_items_are_read_only_if_a_rule_has_a_queue_for_them(tool: FakeLangfuse, tmp_path: Path) -> None:
    names = {}
    for config in ({}, {"queues": {"que-1": "support"}}):
        async with opened(pulled_settings(tmp_path, "langfuse", **config), tool.transport) as streams:
            names[bool(config)] = [stream.name for stream in streams]
    assert names == {False: ["scores"], True: ["scores", "queue-items"]}


async def test_a_cursor_that_does_not_advance_ends_with_an_error(tool: FakeLangfuse, tmp_path: Path) -> None:
    for number in range(5):
        tool.add_score("quality", 4, item=f"t{number}")
    first = tool.answer

    def stuck(path: str, parameters: dict[str, str]) -> object:
        return first(path, {name: value for name, value in parameters.items() if name != "cursor"})

    tool.answer = stuck  # type: ignore[method-assign, assignment]
    with pytest.raises(PullError, match="a page has no new records, and leads to a page that was read before"):
        await pulled(tool, tmp_path, "scores")
    assert len(tool.requests) == 2


async def test_a_score_whose_time_cannot_be_read_keeps_no_other_from_its_page(
    tool: FakeLangfuse, tmp_path: Path
) -> None:
    good, bad = tool.add_score("quality", 4, item="t1"), tool.add_score("quality", 4, item="t2")
    answer = tool.answer

    def broken(path: str, parameters: dict[str, str]) -> object:
        document = answer(path, parameters)
        next(score for score in document["data"] if score["id"] == bad)["timestamp"] = None
        return document

    tool.answer = broken  # type: ignore[method-assign, assignment]
    pages = await pulled(tool, tmp_path, "scores")
    assert {(*ids([page]), page.listed) for page in pages} == {(good, RECEIVED), (bad, None)}
