"""Pulls of an ingest process: by the interval, and on request; what is expected, and what ends the process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ingest.publish import NotAcknowledgedError
from sources.intake.store import IndexStore, IndexUnusableError, StoredIndex
from sources.meaning import Rules
from sources.registry import TOOLS
from sources.source import ToolSource
from streams.events.decoder import Decoder
from tests.support.fake_tools.base import FakeClock
from tests.support.fake_tools.langfuse import FakeLangfuse
from tests.support.ingest import NOW_MS, Door, open_door
from tests.support.pulls import opened, pulled_settings

CONFIG: dict[str, Any] = {"queue": "support", "criteria": {"quality": {"rating": "stars"}}}
SYNC = "/api/v1/sources/support/-/sync"


@pytest.fixture
def tool() -> FakeLangfuse:
    return FakeLangfuse(FakeClock(NOW_MS))


@asynccontextmanager
async def door(tmp_path: Path, tool: FakeLangfuse, **config: Any) -> AsyncIterator[Door]:
    """An ingest whose source `support` is a fake Langfuse."""
    settings = pulled_settings(tmp_path, "langfuse", **CONFIG, **config)
    source = ToolSource(TOOLS["langfuse"], Rules(settings), Decoder())
    store = IndexStore(tmp_path / "index")
    try:
        async with open_door(
            sources={"support": source}, store=store, connect=lambda _, chosen: opened(chosen, tool.transport)
        ) as opened_door:
            yield opened_door
    finally:
        store.close()


async def sync(door: Door, query: str = "") -> list[dict[str, Any]]:
    """The lines of the answer to a request for a pull."""
    response = await door.client.post(SYNC + query)
    assert response.status_code == 200
    return [json.loads(line) for line in response.text.splitlines()]


@asynccontextmanager
async def running(door: Door) -> AsyncIterator["asyncio.Task[None]"]:
    """The loops of all sources."""
    task = asyncio.create_task(door.pulls.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> "asyncio.Queue[float]":
    """The seconds of each wait; a loop waits until they are taken from the queue."""
    waits: asyncio.Queue[float] = asyncio.Queue(maxsize=1)
    sleep = asyncio.sleep

    async def wait(delay: float) -> None:
        if delay:
            await waits.put(delay)
        await sleep(0)

    monkeypatch.setattr("asyncio.sleep", wait)
    return waits


async def test_a_pull_on_request_reports_its_progress_and_its_results(tmp_path: Path, tool: FakeLangfuse) -> None:
    tool.add_score("quality", 4, item="t1", author="ada")
    tool.add_score("other", 4, item="t1", author="ada")
    async with door(tmp_path, tool) as opened_door:
        *progress, last = await sync(opened_door, "?full=1")
        assert {line["progress"]["stream"] for line in progress} == {"scores"}
        scores, items = last["reports"]
        assert (scores["records"], scores["events"], scores["skipped"]) == (2, 1, {"no_rule": 1})
        assert (items["stream"], items["records"]) == ("queue-items", 0)
        (sent,) = opened_door.publisher.sent
        assert (sent.topic, sent.key) == ("alignment.annotations.v1", b"t1")
        # What is read again is reported again, and not counted again.
        assert (await sync(opened_door, "?full=1"))[-1]["reports"][0]["skipped"] == {"no_rule": 1}
        assert opened_door.metric("source_events_total", source="support") == 1
        assert opened_door.metric("source_skipped_total", source="support", reason="no_rule") == 1
        assert opened_door.metric("source_pulled_timestamp_seconds", source="support") == NOW_MS / 1000
        assert opened_door.metric("source_pull_failed", source="support") == 0


async def test_full_and_confirm_empty_are_taken_from_the_query(tmp_path: Path, tool: FakeLangfuse) -> None:
    tool.add_score("quality", 4, item="t1", author="ada")
    async with door(tmp_path, tool) as opened_door:
        await sync(opened_door)
        tool.scores.clear()
        assert (await sync(opened_door, "?full=1"))[-1]["reports"][0]["vanished"] == 0
        assert (await sync(opened_door, "?full=1&confirm_empty=1"))[-1]["reports"][0]["vanished"] == 1


async def test_a_tool_that_refuses_the_credentials_is_an_error_of_its_stream(
    tmp_path: Path, tool: FakeLangfuse
) -> None:
    tool.headers = {"authorization": "Basic other"}
    async with door(tmp_path, tool) as opened_door:
        report, _ = (await sync(opened_door))[-1]["reports"]
        assert "check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY" in report["error"]
        assert opened_door.metric("source_pull_failed", source="support") == 1


async def test_missing_credentials_are_the_answer(tmp_path: Path, tool: FakeLangfuse) -> None:
    async with door(tmp_path, tool, credentials_file=None) as opened_door:
        (line,) = await sync(opened_door)
        assert line["error"].startswith("sources.support.credentials_file is not set")


async def test_a_broker_that_does_not_acknowledge_is_the_answer(tmp_path: Path, tool: FakeLangfuse) -> None:
    tool.add_score("quality", 4, item="t1", author="ada")
    async with door(tmp_path, tool) as opened_door:
        opened_door.publisher.error = NotAcknowledgedError("the broker did not acknowledge the events in time")
        assert (await sync(opened_door))[-1] == {"error": "the broker did not acknowledge the events in time"}


async def test_requests_that_cannot_be_served(tmp_path: Path, tool: FakeLangfuse) -> None:
    async with door(tmp_path, tool) as opened_door:
        post = opened_door.client.post
        assert (await post("/api/v1/sources/other/-/sync")).status_code == 404
        assert (await post(SYNC, headers={"Origin": "https://other.invalid"})).status_code == 403
        opened_door.publisher.away = "not connected"
        assert (await post(SYNC)).status_code == 503
    assert tool.requests == []


async def test_a_source_is_pulled_again_and_again_by_its_interval(
    tmp_path: Path, tool: FakeLangfuse, turns: "asyncio.Queue[float]"
) -> None:
    async with door(tmp_path, tool, interval_s=7) as opened_door, running(opened_door):
        assert await turns.get() == 7
        tool.add_score("quality", 4, item="t1", author="ada")
        assert await turns.get() == 7
        await turns.get()
        assert len(opened_door.publisher.sent) == 1


async def test_a_tool_that_is_away_does_not_end_the_pulls(
    tmp_path: Path, tool: FakeLangfuse, turns: "asyncio.Queue[float]", caplog: pytest.LogCaptureFixture
) -> None:
    tool.add_score("quality", 4, item="t1", author="ada")
    answer = tool.answer
    tool.answer = lambda *_: 500  # type: ignore[method-assign]
    async with door(tmp_path, tool) as opened_door, running(opened_door):
        for _ in range(3):
            await turns.get()
        assert opened_door.metric("source_pull_failed", source="support") == 1
        # The same error is logged once.
        assert caplog.text.count("source support: scores: GET ") == 1
        opened_door.publisher.error = NotAcknowledgedError("the broker did not acknowledge the events in time")
        tool.answer = answer  # type: ignore[method-assign]
        for _ in range(2):
            await turns.get()
        opened_door.publisher.error = None
        for _ in range(2):
            await turns.get()
        assert len(opened_door.publisher.sent) == 1
        assert opened_door.metric("source_pull_failed", source="support") == 0


async def test_a_full_disk_does_not_end_the_pulls(
    tmp_path: Path, tool: FakeLangfuse, turns: "asyncio.Queue[float]", monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise IndexUnusableError("cannot use the index: database or disk is full")

    tool.add_score("quality", 4, item="t1", author="ada")
    async with door(tmp_path, tool) as opened_door, running(opened_door):
        with monkeypatch.context() as patched:
            patched.setattr(StoredIndex, "prepare", full)
            for _ in range(2):
                await turns.get()
            assert opened_door.metric("source_pull_failed", source="support") == 1
            assert (await sync(opened_door))[-1] == {"error": "cannot use the index: database or disk is full"}
        for _ in range(2):
            await turns.get()
        assert len(opened_door.publisher.sent) == 1
        assert opened_door.metric("source_pull_failed", source="support") == 0


async def test_the_tool_is_not_asked_while_the_broker_is_away(
    tmp_path: Path, tool: FakeLangfuse, turns: "asyncio.Queue[float]"
) -> None:
    async with door(tmp_path, tool) as opened_door:
        opened_door.publisher.away = "not connected"
        async with running(opened_door):
            for _ in range(3):
                assert await turns.get() == 1
        assert tool.requests == []


async def test_an_unexpected_exception_ends_the_pulls(tmp_path: Path, tool: FakeLangfuse) -> None:
    def fail(*_: object) -> object:
        raise ZeroDivisionError

    tool.answer = fail  # type: ignore[method-assign, assignment]
    async with door(tmp_path, tool) as opened_door:
        with pytest.raises(ExceptionGroup) as raised:
            await opened_door.pulls.run()
    assert raised.group_contains(ZeroDivisionError)


async def test_a_source_without_address_and_credentials_is_not_pulled(
    tmp_path: Path, tool: FakeLangfuse, turns: "asyncio.Queue[float]"
) -> None:
    async with door(tmp_path, tool, url=None, credentials_file=None) as opened_door, running(opened_door):
        for _ in range(5):
            await asyncio.sleep(0)
    assert turns.empty()
