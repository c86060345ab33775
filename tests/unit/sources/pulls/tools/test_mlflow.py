"""The client of MLflow: traces by their time although tokens are offsets, and the items of review queues."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sources.pulls.pull import PulledPage, PullError
from tests.support.fake_tools.base import FakeClock
from tests.support.fake_tools.mlflow import FakeMlflow
from tests.support.pulls import opened, pulled_settings, read
from tests.support.sources import RECEIVED

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.pulls.tools.mlflow.LIMIT", 4)


@pytest.fixture
def tool() -> FakeMlflow:
    return FakeMlflow(FakeClock(RECEIVED))


def ids(pages: Sequence[PulledPage]) -> set[str]:
    """The ids of the traces on the pages."""
    return {trace["trace_id"] for page in pages for trace in json.loads(page.content)["traces"]}


async def traces(tool: FakeMlflow, tmp_path: Path, since: int | None = None, **config: Any) -> list[PulledPage]:
    settings = pulled_settings(tmp_path, "mlflow", **{"experiments": ["1"], **config})
    async with opened(settings, tool.transport) as (stream,):
        return await read(stream, since)


async def items(tool: FakeMlflow, tmp_path: Path) -> list[tuple[str, str]]:
    settings = pulled_settings(tmp_path, "mlflow", experiments=["1"], queue="support")
    async with opened(settings, tool.transport) as (_, stream):
        pages = await read(stream, None)
    found = [item for page in pages for item in json.loads(page.content).get("items", [])]
    return [(item["queue_id"], item["item_id"]) for item in found]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 7, 8, 21])
async def test_all_traces_are_read(tool: FakeMlflow, tmp_path: Path, count: int) -> None:
    given = {tool.add_trace(at=tool.clock.advance(DAY // 3)) for _ in range(count)}
    pages = await traces(tool, tmp_path)
    assert ids(pages) == given
    assert all(page.listed is not None for page in pages)


@pytest.mark.parametrize("together", [3, 4, 5, 8, 9, 13])
async def test_traces_of_one_millisecond_are_read(tool: FakeMlflow, tmp_path: Path, together: int) -> None:
    given = {tool.add_trace() for _ in range(2)}
    for _ in range(2):
        tool.clock.advance(1)
        given |= {tool.add_trace() for _ in range(together)}
    assert ids(await traces(tool, tmp_path)) == given


async def test_a_window_has_its_first_millisecond(tool: FakeMlflow, tmp_path: Path) -> None:
    given = [tool.add_trace(at=tool.clock.advance(1)) for _ in range(3)]
    assert ids(await traces(tool, tmp_path, RECEIVED + 2)) == {*given[1:]}


@pytest.mark.parametrize("seed", range(20))
async def test_traces_that_vanish_while_the_list_is_read_hide_no_other(
    tool: FakeMlflow, tmp_path: Path, seed: int
) -> None:
    for _ in range(30):
        tool.add_trace(at=tool.clock.advance(1))
    stable, random = {*tool.traces}, Random(seed)

    def edit() -> None:
        if len(tool.requests) > 15:
            return
        for _ in range(random.randrange(4)):
            gone = random.choice([*tool.traces])
            tool.delete_trace(gone)
            stable.discard(gone)
        for _ in range(random.randrange(3)):
            tool.add_trace(at=tool.clock.advance(1))

    tool.before_answer = edit
    assert stable <= ids(await traces(tool, tmp_path))


async def test_each_experiment_is_read(tool: FakeMlflow, tmp_path: Path) -> None:
    tool.experiments["2"] = "active"
    given = {tool.add_trace(experiment) for experiment in ("1", "2")}
    assert ids(await traces(tool, tmp_path, experiments=["1", "2"])) == given


@pytest.mark.parametrize("stage", ["deleted", None])
async def test_an_experiment_that_does_not_exist_is_an_error(
    tool: FakeMlflow, tmp_path: Path, stage: str | None
) -> None:
    if stage:
        tool.experiments["9"] = stage
    with pytest.raises(PullError, match="correct `experiments`"):
        await traces(tool, tmp_path, experiments=["1", "9"])


async def test_a_source_without_experiments_is_an_error(tool: FakeMlflow, tmp_path: Path) -> None:
    with pytest.raises(PullError, match=r"sources\.support\.experiments: not set"):
        await traces(tool, tmp_path, experiments=[])


async def test_the_items_of_all_queues_are_read(
    tool: FakeMlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.pulls.tools.mlflow.ITEM_LIMIT", 2)
    given = [(f"rq-{queue}", tool.add_trace()) for queue in range(3) for _ in range(queue * 2)]
    tool.queues["rq-0"] = {}
    for queue, trace in given:
        tool.add_item(queue, trace)
    assert sorted(await items(tool, tmp_path)) == sorted(given)


async def test_a_queue_that_vanishes_while_it_is_read_hides_no_other(tool: FakeMlflow, tmp_path: Path) -> None:
    trace = tool.add_trace()
    for queue in ("rq-1", "rq-2", "rq-3"):
        tool.add_item(queue, trace)

    def delete() -> None:
        if "items" in tool.requests[-1].url.path:
            tool.queues.pop("rq-2", None)

    tool.before_answer = delete
    assert sorted(await items(tool, tmp_path)) == [("rq-1", trace), ("rq-3", trace)]


async def test_a_server_without_review_queues_has_no_items(tool: FakeMlflow, tmp_path: Path) -> None:
    tool.has_queues = False
    assert await items(tool, tmp_path) == []
