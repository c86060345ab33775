"""How much a pull reads of a tool, lists of all kinds included, and how the next pull goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aggregator.days import timestamp
from sources.intake.store import IndexStore
from sources.pulls.state import load
from sources.pulls.sync import PullRequest, StreamReport
from tests.support.fake_tools.base import FakeClock, FakeTool
from tests.support.fake_tools.labelstudio import FakeLabelStudio
from tests.support.fake_tools.langfuse import FakeLangfuse
from tests.support.fake_tools.langsmith import FakeLangSmith
from tests.support.fake_tools.mlflow import FakeMlflow
from tests.support.fake_tools.phoenix import PROJECT, FakePhoenix
from tests.support.pulls import PulledSource, pulled_settings
from tests.support.sources import RECEIVED

HOUR = 3_600_000
FULL = PullRequest(full=True)
CONFIG: dict[str, Any] = {"queue": "support", "criteria": {"quality": {"rating": "stars"}}}
REQUESTS = 12


def langfuse_scores(clock: FakeClock, count: int) -> FakeTool:
    tool = FakeLangfuse(clock)
    for number in range(count):
        tool.add_score("quality", 4, item=f"t{number}", author="ada", timestamp=clock.now - number % 7)
    return tool


def langfuse_items(clock: FakeClock, count: int) -> FakeTool:
    tool = FakeLangfuse(clock)
    for number in range(count):
        # Queues of very different lengths, some of them longer than what one pull reads.
        tool.add_item(f"queue {min(number % 50, 9)}", f"t{number}")
    return tool


def langsmith_feedback(clock: FakeClock, count: int, *, oldest_first: bool = False) -> FakeTool:
    tool = FakeLangSmith(clock, oldest_first=oldest_first)
    for number in range(count):
        clock.advance(1)
        tool.add("quality", item=f"t{number}", score=4, user="ada")
    return tool


def oldest_feedback(clock: FakeClock, count: int) -> FakeTool:
    return langsmith_feedback(clock, count, oldest_first=True)


def mlflow_traces(clock: FakeClock, count: int) -> FakeTool:
    tool = FakeMlflow(clock)
    tool.experiments["2"] = "active"
    for number in range(count):
        trace = tool.add_trace("12"[number % 2], at=clock.now - number % 37)
        tool.assess(trace, "quality", 4)
    return tool


def mlflow_items(clock: FakeClock, count: int) -> FakeTool:
    tool = FakeMlflow(clock)
    for number in range(count):
        tool.add_item(f"queue {number // 5}", tool.add_trace("other"))
    return tool


def phoenix_annotations(clock: FakeClock, count: int) -> FakeTool:
    tool = FakePhoenix(clock)
    for number in range(count):
        tool.annotate("quality", span_id=tool.add_span(at=clock.now - number * 1_000), score=4.0)
    return tool


def labelstudio_tasks(clock: FakeClock, count: int) -> FakeTool:
    tool = FakeLabelStudio(clock)
    for number in range(count):
        tool.annotate(tool.add_task(f"t{number}"), {"quality": "4"})
    return tool


Fill = Callable[[FakeClock, int], FakeTool]
TOOLS: dict[Fill, tuple[str, dict[str, Any]]] = {
    langfuse_scores: ("langfuse", {}),
    langfuse_items: ("langfuse", {}),
    langsmith_feedback: ("langsmith", {}),
    oldest_feedback: ("langsmith", {}),
    mlflow_traces: ("mlflow", {"experiments": ["1", "2"]}),
    mlflow_items: ("mlflow", {"experiments": ["1"]}),
    phoenix_annotations: ("phoenix", {"project": PROJECT}),
    labelstudio_tasks: ("labelstudio", {"url": "https://tool.invalid/label", "project": "7", "item": "trace_id"}),
}


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in {tool for tool, _ in TOOLS.values()}:
        monkeypatch.setattr(f"sources.pulls.tools.{tool}.LIMIT", 4)
    monkeypatch.setattr("sources.pulls.tools.phoenix.SPAN_LIMIT", 4)


@pytest.fixture
def _few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.pulls.reading.MAX_REQUESTS", REQUESTS)


def source_of(directory: Path, tool: FakeTool, name: str, **config: Any) -> PulledSource:
    return PulledSource(directory, tool, pulled_settings(directory, name, **CONFIG, **config))


@pytest.fixture
def tool() -> FakeLangfuse:
    return FakeLangfuse(FakeClock(RECEIVED))


@pytest.fixture
def source(tool: FakeLangfuse, tmp_path: Path) -> Iterator[PulledSource]:
    opened = source_of(tmp_path, tool, "langfuse")
    yield opened
    opened.store.close()


async def pull_all(source: PulledSource) -> list[list[StreamReport]]:
    """Pull until no reading is unfinished. No pull sends more requests than its limit."""
    pulls: list[list[StreamReport]] = []
    while not pulls or any(report.unfinished for report in pulls[-1]):
        before = len(source.tool.requests)
        pulls.append(await source.pull.run())
        assert [report.error for report in pulls[-1] if report.error] == []
        # Label Studio exchanges its token, too.
        assert len(source.tool.requests) - before <= len(pulls[-1]) * REQUESTS + 1
        assert len(pulls) < 500
    return pulls


def _directory(path: Path) -> Path:
    path.mkdir()
    return path


async def read_in_parts(directory: Path, fill: Fill, count: int) -> int:
    """Requests with which several pulls read everything, none of which sends more than its limit."""
    name, config = TOOLS[fill]
    tool = fill(FakeClock(RECEIVED), count)
    source = source_of(directory, tool, name, **config)
    pulls = await pull_all(source)
    assert len(pulls) > 2
    assert len(source.rows()) == count
    source.store.close()
    return len(tool.requests)


@pytest.mark.usefixtures("_few_requests")
@pytest.mark.parametrize("fill", TOOLS)
async def test_several_pulls_read_everything_in_time_of_what_there_is(tmp_path: Path, fill: Fill) -> None:
    some = await read_in_parts(_directory(tmp_path / "some"), fill, 120)
    more = await read_in_parts(_directory(tmp_path / "more"), fill, 240)
    assert more < 2.6 * some


@pytest.mark.usefixtures("_few_requests")
@pytest.mark.parametrize("fill", TOOLS)
async def test_what_vanished_is_deleted_after_the_last_of_several_pulls(tmp_path: Path, fill: Fill) -> None:
    name, config = TOOLS[fill]
    tool = fill(FakeClock(RECEIVED), 120)
    source = source_of(tmp_path, tool, name, **config)
    await pull_all(source)
    assert len(source.rows()) == 120
    match tool:
        case FakeLangfuse() if tool.scores:
            del tool.scores[[*tool.scores][60]]
        case FakeLangfuse():
            tool.queues["queue 9"].popitem()
        case FakeLangSmith():
            del tool.feedback[[*tool.feedback][60]]
        case FakeMlflow():
            tool.delete_trace([*tool.traces][60])
        case FakePhoenix():
            tool.delete_span([*tool.spans][60])
        case FakeLabelStudio():
            del tool.tasks[[*tool.tasks][60]]
    tool.clock.advance(2 * HOUR)
    pulls = await pull_all(source)
    vanished = [sum(report.vanished for report in reports) for reports in pulls]
    assert (sum(vanished), len(source.rows())) == (1, 119)
    assert len(vanished) > 3
    assert source.store.read("SELECT count(*) FROM seen") == [(0,)]
    source.store.close()


@pytest.mark.usefixtures("_few_requests")
async def test_records_with_long_ids_are_read_and_deleted_as_others_are(
    tool: FakeLangfuse, source: PulledSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "\N{GRINNING FACE}" * 2_000
    monkeypatch.setattr(tool, "new_id", lambda kind: f"{long}-{kind}-{len(tool.scores)}")
    for number in range(120):
        tool.add_score("quality", 4, item=f"t{number}", author="ada", timestamp=tool.clock.now - number)
    await pull_all(source)
    assert len(source.rows()) == 120
    del tool.scores[f"{long}-sc-60"]
    tool.clock.advance(2 * HOUR)
    pulls = await pull_all(source)
    assert (sum(report.vanished for reports in pulls for report in reports), len(source.rows())) == (1, 119)
    assert len(pulls) > 3


@pytest.mark.parametrize("bound", ["MAX_RECORDS", "MAX_REQUESTS"])
async def test_a_pull_that_ends_at_its_limit_says_where_the_next_goes_on(
    tool: FakeLangfuse, source: PulledSource, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    for number in range(20):
        tool.add_score("quality", 4, item=f"t{number}", author="ada", timestamp=tool.clock.advance(1))
    monkeypatch.setattr(f"sources.pulls.reading.{bound}", 2)
    report = (await source.pull.run())[0]
    assert (report.unfinished, report.error, report.vanished) == (True, None, 0)
    (note,) = report.notes
    assert report.reached is not None
    assert f"{report.records} records were read, the last of them listed at {timestamp(report.reached)}" in note
    assert "the next pull goes on there" in note
    state = load(source.index).streams["scores"]
    assert state.cursor is None and state.unfinished is not None and state.unfinished.bookmark is not None
    await pull_all(source)
    state = load(source.index).streams["scores"]
    assert (state.cursor, state.unfinished) == (tool.clock.now, None)
    assert len(source.rows()) == 20


@pytest.mark.usefixtures("_few_requests")
async def test_the_cursor_is_the_beginning_of_the_first_pull(tool: FakeLangfuse, source: PulledSource) -> None:
    for number in range(100):
        tool.add_score("quality", 4, item=f"t{number}", author="ada", timestamp=tool.clock.advance(1))
    started = tool.clock.now
    while (await source.pull.run())[0].unfinished:
        tool.clock.advance(HOUR)
        tool.add_score("quality", 4, item=f"late {tool.clock.now}", author="ada")
    assert load(source.index).streams["scores"].cursor == started
    await pull_all(source)
    assert len(source.rows()) == len(tool.scores) > 100


@pytest.mark.usefixtures("_few_requests")
async def test_a_full_reading_is_gone_on_with_by_pulls_that_are_not(tool: FakeLangfuse, source: PulledSource) -> None:
    for number in range(100):
        old = RECEIVED - 50 * 24 * HOUR
        tool.add_score("quality", 4, item=f"t{number}", author="ada", timestamp=old + number)
    await source.pull.run()
    assert source.rows() == {}
    assert (await source.pull.run(FULL))[0].unfinished
    await pull_all(source)
    assert len(source.rows()) == 100


@pytest.mark.usefixtures("_few_requests")
@pytest.mark.parametrize("change", ["full", "settings"])
async def test_a_reading_of_other_records_begins_at_the_start(
    tool: FakeLangfuse, source: PulledSource, tmp_path: Path, change: str
) -> None:
    for number in range(100):
        tool.add_score("quality", 4, item=f"t{number}", author="ada", timestamp=tool.clock.advance(1))
    await source.pull.run()
    asked = len(tool.requests)
    if change == "settings":
        source.store.close()
        other = source_of(tmp_path, tool, "langfuse", lookback_days=5)
        source.store = other.store
        await other.pull.run()
    else:
        await source.pull.run(FULL)
    assert "cursor" not in tool.requests[asked].url.params


@pytest.mark.usefixtures("_few_requests")
async def test_a_bookmark_that_the_tool_refuses_is_given_up(tool: FakeLangfuse, source: PulledSource) -> None:
    for number in range(100):
        tool.add_score("quality", 4, item=f"t{number}", author="ada", timestamp=tool.clock.advance(1))
    assert (await source.pull.run())[0].unfinished
    answer = tool.answer

    def refuse(path: str, parameters: dict[str, str]) -> object:
        return 400 if "cursor" in parameters else answer(path, parameters)

    tool.answer = refuse  # type: ignore[method-assign, assignment]
    assert "status 400" in ((await source.pull.run())[0].error or "")
    tool.answer = answer  # type: ignore[method-assign]
    await pull_all(source)
    assert len(source.rows()) == 100


@pytest.mark.usefixtures("_few_requests", "waits")
async def test_a_tool_that_is_away_leaves_the_bookmark(tool: FakeLangfuse, source: PulledSource) -> None:
    for number in range(100):
        tool.add_score("quality", 4, item=f"t{number}", author="ada", timestamp=tool.clock.advance(1))
    assert (await source.pull.run())[0].unfinished
    before = load(source.index).streams["scores"].unfinished
    answer = tool.answer
    tool.answer = lambda *_: 503  # type: ignore[method-assign]
    assert "status 503" in ((await source.pull.run())[0].error or "")
    assert load(source.index).streams["scores"].unfinished == before is not None
    tool.answer = answer  # type: ignore[method-assign]
    asked = len(tool.requests)
    await source.pull.run()
    assert "cursor" in tool.requests[asked].url.params


@pytest.mark.usefixtures("_few_requests", "waits")
async def test_repeated_requests_count_too(tool: FakeLangfuse, source: PulledSource) -> None:
    tool.answer = lambda *_: 503  # type: ignore[method-assign]
    for _ in range(3):
        before = len(tool.requests)
        await source.pull.run()
        assert len(tool.requests) - before <= 2 * REQUESTS


def endless_queues(tool: FakeTool) -> None:
    """A tool that has ever more queues, all of them empty or gone."""

    def of_langfuse(path: str, parameters: dict[str, str]) -> object:
        page = int(parameters.get("page", "1"))
        names = [] if path.endswith("items") else [{"id": f"queue {page}-{number}"} for number in range(4)]
        return {"data": names, "meta": {"totalItems": 0 if path.endswith("items") else 4 * page + 1}}

    def of_mlflow(path: str, parameters: dict[str, str]) -> object:
        if path.endswith("experiments/get"):
            return {"experiment": {}}
        if path.endswith("items/list"):
            return 404
        page = int(parameters.get("page_token", "0"))
        names = [{"queue_id": f"queue {page}-{number}"} for number in range(4)]
        return {"review_queues": names, "next_page_token": f"{page + 1}"}

    known, answers = tool.answer, of_langfuse if isinstance(tool, FakeLangfuse) else of_mlflow

    def answer(path: str, parameters: dict[str, str]) -> object:
        return known(path, parameters) if path.endswith(("scores", "search")) else answers(path, parameters)

    tool.answer = answer  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("bound", ["MAX_RECORDS", "MAX_REQUESTS"])
@pytest.mark.parametrize("fill", [langfuse_items, mlflow_items])
async def test_a_list_of_queues_without_an_end_counts_against_the_limits(
    tmp_path: Path, fill: Fill, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"sources.pulls.reading.{bound}", 40)
    name, config = TOOLS[fill]
    tool = fill(FakeClock(RECEIVED), 0)
    endless_queues(tool)
    source = source_of(tmp_path, tool, name, **config)
    for _ in range(4):
        before = len(tool.requests)
        report = (await source.pull.run())[1]
        assert report.unfinished or "does not get further in the list" in (report.error or "")
        assert len(tool.requests) - before <= 60
    source.store.close()


@pytest.mark.usefixtures("_few_requests")
async def test_annotations_without_an_end_of_a_few_spans_are_an_error(tmp_path: Path) -> None:
    tool = phoenix_annotations(FakeClock(RECEIVED), 1)
    answer = tool.answer

    def endless(path: str, parameters: dict[str, str]) -> object:
        document = answer(path, {**parameters, "cursor": "9"} if path.endswith("span_annotations") else parameters)
        return {**document, "next_cursor": "9"} if path.endswith("span_annotations") else document

    tool.answer = endless  # type: ignore[method-assign, assignment]
    source = source_of(tmp_path, tool, "phoenix", project=PROJECT)
    for _ in range(2):
        before = len(tool.requests)
        (report,) = await source.pull.run()
        assert report.error is not None and "a pull of 2,000,000 records or 12 requests does not get" in report.error
        assert len(tool.requests) - before == REQUESTS
        assert not report.unfinished and load(source.index).streams["annotations"].cursor is None
    source.store.close()


async def test_an_index_of_an_earlier_release_gets_what_readings_of_several_pulls_need(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    with store.transaction() as connection:
        connection.execute("DROP TABLE seen")
    store.close()
    store = IndexStore(tmp_path)
    assert store.read("SELECT * FROM seen") == []
    store.close()
