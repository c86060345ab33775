"""Answers that no tool sends: each is an error of its stream, and never the end of the process."""

from pathlib import Path

import httpx
import pytest

from sources.pulls.sync import PullRequest, StreamReport
from tests.support.fake_tools.base import FakeClock, FakeTool
from tests.support.pulls import PulledSource, pulled_settings
from tests.support.sources import RECEIVED

DEEP = b'{"access":"a","more":' + b"[" * 3_000 + b"]" * 3_000 + b"}"


class _Answering(FakeTool):
    """A tool with the same answer to every request."""

    def __init__(self, content: bytes) -> None:
        super().__init__(FakeClock(RECEIVED), 0, {})
        self.content = content

    async def handle(self, request: httpx.Request) -> httpx.Response:
        del request
        return httpx.Response(200, content=self.content)


async def pulled(directory: Path, tool: str, content: bytes, **config: str) -> list[StreamReport]:
    settings = pulled_settings(directory, tool, queue="support", **config)
    source = PulledSource(directory, _Answering(content), settings)
    try:
        return await source.pull.run(PullRequest(full=True))
    finally:
        source.store.close()


@pytest.mark.parametrize(
    ("tool", "content", "problem"),
    [
        ("langsmith", b'[{"created_at":"\xff"}]', "UnicodeDecodeError"),
        ("labelstudio", DEEP, "RecursionError"),
    ],
    ids=["not_utf8_without_id", "nested_deep"],
)
async def test_an_answer_that_no_client_expects_is_an_error_of_its_stream(
    tool: str, content: bytes, problem: str, tmp_path: Path
) -> None:
    reports = await pulled(tmp_path, tool, content, **({"project": "7"} if tool == "labelstudio" else {}))
    assert [problem in (report.error or "") for report in reports] == [True]
