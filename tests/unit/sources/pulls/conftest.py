"""Waits that take no time."""

import asyncio

import pytest


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that requests waited before they were repeated; no time passes."""
    seconds: list[float] = []
    sleep = asyncio.sleep

    async def record(delay: float) -> None:
        if delay:
            seconds.append(delay)
        await sleep(0)

    monkeypatch.setattr("asyncio.sleep", record)
    return seconds
