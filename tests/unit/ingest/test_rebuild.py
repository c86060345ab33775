"""What the keeper of the owner indexes survives."""

import asyncio
from pathlib import Path

import pytest

from ingest.config import IngestConfig
from ingest.metrics import IngestMetrics
from ingest.rebuild import IndexKeeper
from sources.intake.intake import Delivery, SourceIntake
from sources.intake.store import IndexStore, IndexUnusableError
from streams.events.decoder import Decoder
from streams.kafka.client import KafkaClient
from tests.support.sources import tool_source


async def _deliver(_: Delivery) -> None:
    """Take nothing."""


async def test_a_full_disk_does_not_end_the_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = IndexStore(tmp_path)
    intake = SourceIntake(tool_source("langfuse", queue="q"), _deliver, store.index("langfuse"))
    config = IngestConfig(kafka=KafkaClient(["127.0.0.1:1"]), decoder=Decoder())
    keeper, calls, kept = IndexKeeper(config, [intake], IngestMetrics("1")), 0, asyncio.Event()

    async def make(_: IndexKeeper) -> None:
        intake.not_made = None

    async def keep(_: IndexKeeper) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise IndexUnusableError("cannot use the index: database or disk is full")
        kept.set()

    monkeypatch.setattr(IndexKeeper, "_make", make)
    monkeypatch.setattr(IndexKeeper, "keep", keep)
    monkeypatch.setattr("ingest.rebuild.KEEP_SECONDS", 0)
    running = asyncio.create_task(keeper.run())
    ended = asyncio.create_task(kept.wait())
    await asyncio.wait([running, ended], return_when=asyncio.FIRST_COMPLETED)
    assert not running.done()
    running.cancel()
    store.close()
