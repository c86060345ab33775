"""The client of LangSmith: every record is in a page, also when records are deleted or added while the list is read."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from sources.pulls.pull import PulledPage, PullError
from tests.support.fake_tools.base import FakeClock
from tests.support.fake_tools.langsmith import FakeLangSmith
from tests.support.pulls import opened, pulled_settings, read
from tests.support.sources import RECEIVED

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.pulls.tools.langsmith.LIMIT", 4)


@pytest.fixture(params=[False, True], ids=["newest_first", "oldest_first"])
def tool(request: pytest.FixtureRequest) -> FakeLangSmith:
    return FakeLangSmith(FakeClock(RECEIVED), oldest_first=request.param)


def ids(pages: Sequence[PulledPage]) -> set[str]:
    """The ids on the pages."""
    return {record["id"] for page in pages for record in json.loads(page.content)}


async def pulled(
    tool: FakeLangSmith, tmp_path: Path, since: int | None = None, project: str | None = None
) -> list[PulledPage]:
    settings = pulled_settings(tmp_path, "langsmith", queue="support", project=project)
    async with opened(settings, tool.transport) as (stream,):
        return await read(stream, since)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 7, 8, 21])
async def test_all_feedback_is_read(tool: FakeLangSmith, tmp_path: Path, count: int) -> None:
    given = {tool.add("quality", item=f"t{tool.clock.advance(DAY // 3)}") for _ in range(count)}
    pages = await pulled(tool, tmp_path)
    assert ids(pages) == given
    assert all(page.listed is not None for page in pages)


async def test_a_window_has_its_first_millisecond(tool: FakeLangSmith, tmp_path: Path) -> None:
    given = [tool.add("quality", item=f"t{tool.clock.advance(1)}") for _ in range(3)]
    assert ids(await pulled(tool, tmp_path, RECEIVED + 2)) == {*given[1:]}


@pytest.mark.parametrize("seed", range(20))
async def test_feedback_that_vanishes_while_the_list_is_read_hides_no_other(
    tool: FakeLangSmith, tmp_path: Path, seed: int
) -> None:
    for _ in range(30):
        tool.add("quality", item=f"t{tool.clock.advance(1)}")
    stable, random = {*tool.feedback}, Random(seed)

    def edit() -> None:
        if len(tool.requests) > 15:
            return
        for _ in range(random.randrange(4)):
            gone = random.choice([*tool.feedback])
            del tool.feedback[gone]
            stable.discard(gone)
        for _ in range(random.randrange(3)):
            tool.add("quality", item=f"t{tool.clock.advance(1)}")

    tool.before_answer = edit
    assert stable <= ids(await pulled(tool, tmp_path))


async def test_feedback_is_of_the_project_by_its_name_or_id(tool: FakeLangSmith, tmp_path: Path) -> None:
    project = "a2d6e8f0-1c34-4567-89ab-cdef01234504"
    tool.projects["support"] = project
    mine, _ = tool.add("quality", item="t1", session_id=project), tool.add("quality", item="t2", session_id="other")
    assert ids(await pulled(tool, tmp_path, project="support")) == {mine}
    assert ids(await pulled(tool, tmp_path, project=project)) == {mine}
    with pytest.raises(PullError, match="project 'sales' not found: correct `project`"):
        await pulled(tool, tmp_path, project="sales")


async def test_a_list_without_an_end_is_an_error(tool: FakeLangSmith, tmp_path: Path) -> None:
    for number in range(8):
        tool.add("quality", item=f"t{number}")
    answer = tool.answer

    def stuck(path: str, parameters: dict[str, str]) -> object:
        return answer(path, {**parameters, "offset": "0"})

    tool.answer = stuck  # type: ignore[method-assign, assignment]
    with pytest.raises(PullError, match="pages in a row have no new records, and none is the last"):
        await pulled(tool, tmp_path)
    assert len(tool.requests) == 5
