"""The client of Phoenix: the annotations of spans, and of the traces and sessions that the spans are of."""

import json
from pathlib import Path
from random import Random

import pytest

from aggregator.days import day_of
from sources.pulls.pull import PulledPage, PullError
from tests.support.fake_tools.base import FakeClock
from tests.support.fake_tools.phoenix import PROJECT, FakePhoenix
from tests.support.pulls import opened, pulled_settings, read
from tests.support.sources import RECEIVED

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.pulls.tools.phoenix.SPAN_LIMIT", 4)
    monkeypatch.setattr("sources.pulls.tools.phoenix.LIMIT", 3)


@pytest.fixture
def tool() -> FakePhoenix:
    return FakePhoenix(FakeClock(RECEIVED))


async def pulled(
    tool: FakePhoenix, tmp_path: Path, since: int | None = None, project: str = PROJECT
) -> list[PulledPage]:
    settings = pulled_settings(tmp_path, "phoenix", project=project)
    async with opened(settings, tool.transport) as (stream,):
        return await read(stream, since)


def ids(pages: list[PulledPage]) -> set[str]:
    """The ids of the annotations on the pages."""
    return {annotation["id"] for page in pages for annotation in json.loads(page.content)["data"]}


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9])
async def test_the_annotations_of_all_spans_are_read(tool: FakePhoenix, tmp_path: Path, count: int) -> None:
    spans = [tool.add_span(at=tool.clock.advance(DAY // 3)) for _ in range(count)]
    given = {f"A{tool.annotate(name, span_id=span, score=1.0)}" for span in spans for name in ("tone", "help")}
    pages = await pulled(tool, tmp_path)
    assert ids(pages) == given
    for page in pages:
        starts = [tool.spans[each["span_id"]]["start_time"] for each in json.loads(page.content)["data"]]
        assert page.listed is not None
        assert all(page.listed <= start and day_of(page.listed) == day_of(start) for start in starts)


async def test_annotations_of_traces_and_sessions_are_read(tool: FakePhoenix, tmp_path: Path) -> None:
    span = tool.add_span("t1", "s1")
    tool.add_span("t1", "s1")
    given = {
        tool.annotate("tone", span_id=span, label="good"),
        tool.annotate("tone", trace_id="t1", label="good"),
        tool.annotate("tone", session_id="s1", label="good"),
    }
    assert ids(await pulled(tool, tmp_path)) == {f"A{id}" for id in given}


async def test_a_window_begins_with_the_start_of_spans(tool: FakePhoenix, tmp_path: Path) -> None:
    spans = [tool.add_span(at=tool.clock.advance(1)) for _ in range(3)]
    given = [f"A{tool.annotate('tone', span_id=span, score=1.0)}" for span in spans]
    assert ids(await pulled(tool, tmp_path, RECEIVED + 2)) == {*given[1:]}


@pytest.mark.parametrize("seed", range(20))
async def test_what_vanishes_while_it_is_read_hides_nothing_else(tool: FakePhoenix, tmp_path: Path, seed: int) -> None:
    for _ in range(20):
        span = tool.add_span(at=tool.clock.advance(1))
        for name in ("a", "b"):
            tool.annotate(name, span_id=span, score=1.0)
    stable, random = {*tool.annotations}, Random(seed)

    def edit() -> None:
        if len(tool.requests) > 15:
            return
        for _ in range(random.randrange(3)):
            tool.delete_span(random.choice([*tool.spans]))
            tool.annotations.pop(random.choice([*tool.annotations]), None)
        stable.intersection_update(tool.annotations)
        tool.annotate("c", span_id=tool.add_span(at=tool.clock.advance(1)), score=1.0)

    tool.before_answer = edit
    pages = await pulled(tool, tmp_path)
    assert {f"A{id}" for id in stable} <= ids(pages)


async def test_a_project_that_does_not_exist_is_an_error(tool: FakePhoenix, tmp_path: Path) -> None:
    with pytest.raises(PullError, match=r"status 404.*correct `project`"):
        await pulled(tool, tmp_path, project="sales")


async def test_spans_that_vanish_before_their_annotations_are_read_are_no_error(
    tool: FakePhoenix, tmp_path: Path
) -> None:
    tool.annotate("tone", span_id=tool.add_span(), score=1.0)

    def delete() -> None:
        if "annotations" in tool.requests[-1].url.path:
            tool.spans.clear()
            tool.annotations.clear()

    tool.before_answer = delete
    assert await pulled(tool, tmp_path) == []
