"""Rows 25 and 26: ingest is killed, and its owner index lost, while webhooks of a tool arrive."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from aggregator import facts
from aggregator.facts import Annotation, Fact
from sources.intake.store import FILE
from streams.events.decoder import Decoder, Kind
from tests.faults.judging import rig_of
from tests.integration.streams.rig import Rig
from tests.support.deployments import Cluster
from tests.support.ingest_process import IngestProcess
from tests.support.kafka import Kafka

Measure = Callable[..., None]

SOURCE = {"tool": "labelstudio", "queue": "q", "item": "trace", "criteria": {"tone": {"rating": "stars"}}}
SENDERS = 6
PAUSE_SECONDS = 0.02
REQUEST_SECONDS = 60.0


class LabelStudio:
    """A tool that edits and deletes its annotations, and sends each webhook until it is answered.

    Each sender has its own annotations, and sends their webhooks in order.
    """

    def __init__(self, url: str, rng: random.Random) -> None:
        self.url = f"{url}/api/v1/sources/labels"
        self.rng = rng
        self.ratings: dict[int, int] = {}
        """Stars by annotation."""
        self.answered = 0
        self.refused = 0
        self.running = True
        self._milliseconds = itertools.count()
        self._ids = itertools.count(1)

    async def send(self) -> None:
        """Change something and report it, until `running` is False and all is answered."""
        mine: list[int] = []
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS) as client:
            while self.running:
                await self._post(client, self._change(mine))

    def _change(self, mine: list[int]) -> dict[str, Any]:
        act = self.rng.choice(("create", "edit", "delete"))
        if not mine or act == "create":
            mine.append(next(self._ids))
            return self._rated(mine[-1], "ANNOTATION_CREATED")
        native = self.rng.choice(mine)
        if act == "edit":
            return self._rated(native, "ANNOTATION_UPDATED")
        mine.remove(native)
        del self.ratings[native]
        return {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": native}]}

    def _rated(self, native: int, action: str) -> dict[str, Any]:
        self.ratings[native] = stars = self.rng.randint(1, 5)
        hour, rest = divmod(next(self._milliseconds), 3_600_000)
        updated = f"2026-09-21T{hour:02d}:{rest // 60_000:02d}:{rest % 60_000 / 1000:06.3f}Z"
        answer = {"type": "rating", "from_name": "tone", "value": {"rating": stars}}
        annotation = {"id": native, "task": native, "updated_at": updated, "completed_by": 3, "result": [answer]}
        return {"action": action, "annotation": annotation, "task": {"id": native, "data": {"trace": f"t{native}"}}}

    async def _post(self, client: httpx.AsyncClient, body: dict[str, Any]) -> None:
        while True:
            try:
                status = (await client.post(self.url, json=body)).status_code
            except httpx.TransportError:
                status = 0
            if status == 200:
                self.answered += 1
                return
            assert status in (0, 503), status
            self.refused += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def answers(self, count: int) -> None:
        """Wait until so many more webhooks are answered."""
        until, end = self.answered + count, time.monotonic() + REQUEST_SECONDS
        while self.answered < until:
            assert time.monotonic() < end, "webhooks are answered"
            await asyncio.sleep(PAUSE_SECONDS)


async def standing(rig: Rig) -> dict[str, int | None]:
    """Stars by item, of all events that were published."""
    latest: dict[bytes, Fact] = {}
    for record in await rig.read(rig.topics.annotations):
        fact = Decoder().decode_value(Kind.ANNOTATION, record.value)
        assert isinstance(fact, Annotation)
        key = facts.key(fact)
        if key not in latest or facts.version(fact) > facts.version(latest[key]):
            latest[key] = fact
    return {fact.item: fact.stars for fact in latest.values() if isinstance(fact, Annotation) and not fact.deleted}


async def history(kafka: Kafka, prefix: str, directory: Path, seeds: range, *, lose: bool) -> str:
    """Kill ingest while webhooks arrive, and compare what stands with what the tool has; what happened, in words."""
    cluster = Cluster(kafka.bootstrap, prefix, directory)
    await asyncio.to_thread(cluster.create_topics)
    ingest = IngestProcess(cluster, directory, sources={"labels": SOURCE})
    data = directory / "sources"
    ingest.environment["EVAL_ALIGNMENT_DATA_DIR"] = str(data)
    tool = LabelStudio(ingest.url, random.Random(seeds[0]))
    senders = [asyncio.create_task(tool.send()) for _ in range(SENDERS)]
    try:
        for seed in seeds:
            await asyncio.to_thread(ingest.start_ready)
            await tool.answers(20)
            await asyncio.sleep(random.Random(seed).uniform(0, 0.1))
            await asyncio.to_thread(ingest.kill)
            if lose:
                for path in data.glob(f"{FILE}*"):
                    path.unlink()
        await asyncio.to_thread(ingest.start_ready)
        await tool.answers(20)
        tool.running = False
        await asyncio.gather(*senders)
        assert await standing(rig_of(cluster)) == {f"t{native}": stars for native, stars in tool.ratings.items()}
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.to_thread(ingest.close)
        await asyncio.to_thread(cluster.stop)
    return f"{len(seeds)} kills, {tool.answered} webhooks answered, {tool.refused} sent again, {len(tool.ratings)} rows"


@pytest.mark.row(25)
@pytest.mark.parametrize(
    "seeds",
    [pytest.param(range(3), marks=pytest.mark.slow), pytest.param(range(25), marks=pytest.mark.faults)],
    ids=["few", "many"],
)
async def test_row_25_killed_while_webhooks_arrive_events_state_what_the_tool_has(
    seeds: range, kafka: Kafka, prefix: str, tmp_path: Path, measured: Measure
) -> None:
    measured(await history(kafka, prefix, tmp_path, seeds, lose=False))


@pytest.mark.row(26)
@pytest.mark.parametrize(
    "seeds",
    [pytest.param(range(2), marks=pytest.mark.slow), pytest.param(range(10), marks=pytest.mark.faults)],
    ids=["few", "many"],
)
async def test_row_26_without_its_index_ingest_makes_it_again_before_it_takes_webhooks(
    seeds: range, kafka: Kafka, prefix: str, tmp_path: Path, measured: Measure
) -> None:
    measured(await history(kafka, prefix, tmp_path, seeds, lose=True))
