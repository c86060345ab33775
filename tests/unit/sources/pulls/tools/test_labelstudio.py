"""The client of Label Studio: tokens that are exchanged, and tasks by their ids."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sources.pulls.pull import PulledPage, PullError
from tests.support.fake_tools.base import FakeClock
from tests.support.fake_tools.labelstudio import ACCESS_SECONDS, LEGACY_TOKEN, FakeLabelStudio
from tests.support.pulls import opened, pulled_settings, read
from tests.support.sources import RECEIVED

DAY = 86_400_000
YES = {"resolved": "Yes"}


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.pulls.tools.labelstudio.LIMIT", 4)


@pytest.fixture
def tool() -> FakeLabelStudio:
    return FakeLabelStudio(FakeClock(RECEIVED))


def settings(tmp_path: Path, **config: Any) -> Any:
    return pulled_settings(
        tmp_path, "labelstudio", **{"project": "7", "url": "https://tool.invalid/label", "item": "trace_id", **config}
    )


async def pulled(tool: FakeLabelStudio, tmp_path: Path, since: int | None = None, **config: Any) -> list[PulledPage]:
    async with opened(settings(tmp_path, **config), tool.transport) as (stream,):
        return await read(stream, since)


def tasks(pages: list[PulledPage]) -> set[int]:
    """The ids of the tasks on the pages."""
    return {task["id"] for page in pages for task in json.loads(page.content)}


def annotated(tool: FakeLabelStudio, item: str = "t1") -> int:
    """A new task with an annotation."""
    task = tool.add_task(item)
    tool.annotate(task, YES)
    return task


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
async def test_all_annotated_tasks_are_read(tool: FakeLabelStudio, tmp_path: Path, count: int) -> None:
    given = set()
    for _ in range(count):
        tool.clock.advance(DAY // 3)
        given.add(annotated(tool))
        tool.add_task("without")
    pages = await pulled(tool, tmp_path)
    assert tasks(pages) == given
    assert all(page.listed is not None for page in pages)


async def test_tasks_without_annotations_are_read_for_their_predictions(tool: FakeLabelStudio, tmp_path: Path) -> None:
    task = tool.add_task("t1")
    tool.predict(task, YES)
    assert tasks(await pulled(tool, tmp_path)) == set()
    assert tasks(await pulled(tool, tmp_path, predictions=True)) == {task}


async def test_a_window_has_what_changed_in_its_first_millisecond(tool: FakeLabelStudio, tmp_path: Path) -> None:
    first, second = annotated(tool), annotated(tool)
    tool.clock.advance(5)
    third = annotated(tool)
    tool.annotate(second, YES, by=2)
    tool.clock.advance(1)
    assert tasks(await pulled(tool, tmp_path, RECEIVED)) == {first, second, third}
    assert tasks(await pulled(tool, tmp_path, RECEIVED + 5)) == {second, third}
    assert tasks(await pulled(tool, tmp_path, RECEIVED + 6)) == set()


@pytest.mark.parametrize("seed", range(20))
async def test_tasks_that_vanish_while_they_are_read_hide_no_other(
    tool: FakeLabelStudio, tmp_path: Path, seed: int
) -> None:
    stable, random = {annotated(tool) for _ in range(30)}, Random(seed)

    def edit() -> None:
        if len(tool.requests) > 15:
            return
        for _ in range(random.randrange(4)):
            gone = random.choice([*tool.tasks])
            del tool.tasks[gone]
            stable.discard(gone)
        annotated(tool)

    tool.before_answer = edit
    assert stable <= tasks(await pulled(tool, tmp_path))


async def test_a_token_is_exchanged_again_before_it_ends_and_when_it_is_refused(
    tool: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: tool.clock.now / 1_000)
    annotated(tool)
    async with opened(settings(tmp_path), tool.transport) as (stream,):
        for wait, exchanges in ((0, 1), (1, 1), (ACCESS_SECONDS, 2)):
            tool.clock.advance(wait * 1_000)
            assert len(await read(stream, None)) == 1
            assert len(tool.access) == exchanges
        assert all(request.headers.get("authorization") != "Bearer None" for request in tool.requests)
        tool.access.clear()
        assert len(await read(stream, None)) == 1
        assert [request.method for request in tool.requests[-3:]] == ["GET", "POST", "GET"]


@pytest.mark.parametrize("token", [LEGACY_TOKEN, "header.wrong.signature"])
async def test_a_refused_token_is_named(tool: FakeLabelStudio, tmp_path: Path, token: str) -> None:
    path = tmp_path / "refused.toml"
    path.write_text(f'LABEL_STUDIO_API_KEY = "{token}"\n')
    with pytest.raises(PullError, match=r"access refused \(status 401\); check LABEL_STUDIO_API_KEY in .*refused.toml"):
        await pulled(tool, tmp_path, credentials_file=str(path))
    assert len(tool.requests) == 1


async def test_a_project_that_does_not_exist_is_an_error(tool: FakeLabelStudio, tmp_path: Path) -> None:
    with pytest.raises(PullError, match=r"status 404.*correct `project`"):
        await pulled(tool, tmp_path, project="8")
    with pytest.raises(PullError, match="project: expected the number of a project"):
        await pulled(tool, tmp_path, project="Support")
