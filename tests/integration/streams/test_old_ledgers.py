"""Row 55: a worker that lets evaluations wait goes on with the ledger of an earlier release, and its views follow."""

import asyncio
import contextlib
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from aggregator.facts import Annotation, Evaluation, Fact, parse
from aggregator.recount import Recount
from streams.ledger.claim import CLAIM_KEY
from streams.runtime.exit_codes import ExitCode
from tests.integration.streams.rig import Rig
from tests.support.kafka import Kafka
from tests.support.view_process import Process, view

LEDGER = Path(__file__).parents[2] / "fixtures" / "0.1.0" / "ledger.ndjson.gz"
AT = 1_795_600_000_000
_OLDER_RELEASE = "from streams.ledger import claim; claim.SCHEMA = 2"

pytestmark = [pytest.mark.slow, pytest.mark.row(55)]


async def load(rig: Rig) -> list[Fact]:
    """Write the ledger of the fixture; returns its facts."""
    rows = [orjson.loads(line) for line in gzip.decompress(LEDGER.read_bytes()).splitlines()]
    for partition in range(rig.partitions):
        records = [(row["key"].encode(), row["value"].encode()) for row in rows if row["partition"] == partition]
        await rig.send(((rig.topics.facts, key, value) for key, value in records), partition=partition)
    content = [(row["key"].encode(), row["value"].encode()) for row in rows]
    return [parse(key, value) for key, value in content if key != CLAIM_KEY]


@contextlib.contextmanager
def view_of(rig: Rig, name: str, before: str = "") -> Any:
    settings = {
        "client": {"bootstrap_servers": rig.bootstrap},
        "facts_topic": rig.topics.facts,
        "tallies_topic": rig.topics.tallies,
        "snapshots_topic": rig.topics.snapshots,
    }
    directory = rig.directory / name
    directory.mkdir()
    with view(directory / "store", before, **settings) as process:
        yield process


async def shows(rig: Rig, process: Process, facts: list[Fact]) -> None:
    """Wait until a view shows what a recount of these facts has."""
    recount = Recount(facts)

    def shown(queue: str) -> Callable[[], bool]:
        def compared() -> bool:
            reply = process.get(f"/api/v1/queues/{quote(queue, safe='')}")
            return reply is not None and reply.status_code == 200 and criteria(reply.json()) == expected

        expected = criteria(recount.document(queue))
        return compared

    for queue in recount.queues:
        condition = shown(queue)
        await rig.until(f"the view shows {queue}", lambda condition=condition: asyncio.to_thread(condition))  # type: ignore[misc]


def criteria(document: Any) -> Any:
    return orjson.loads(orjson.dumps(document["criteria"]))


@pytest.mark.parametrize("older_view", [False, True], ids=["without a view", "under an older view"])
async def test_a_ledger_of_the_first_release_goes_on_with_evaluations_that_wait(
    kafka: Kafka, prefix: str, tmp_path: Path, older_view: bool
) -> None:
    async with Rig(kafka.bootstrap, prefix, tmp_path, partitions=2) as rig:
        facts = await load(rig)
        known = {fact.item for fact in facts if not isinstance(fact, Evaluation)}
        (unknown, *_) = sorted({fact.item for fact in facts} - known)
        with contextlib.ExitStack() as views:
            old = views.enter_context(view_of(rig, "old", _OLDER_RELEASE)) if older_view else None
            if old is not None:
                before = rig.worker("before", inject="everything_is_a_row")
                await shows(rig, old, facts)
                before.kill()
            ends = await rig.ends(rig.topics.facts)
            worker = rig.worker(waiting="w1")
            await rig.restored(worker)
            if old is not None:
                assert await asyncio.to_thread(old.process.wait, 30) == ExitCode.NEWER_SCHEMA.code
            new = [Evaluation(AT, f"n{item}", item, "tone", passed=True) for item in (unknown, "new-item")]
            await rig.produce(new)
            await rig.settled()
            after = await rig.ends(rig.topics.facts)
            assert sum(after.values()) - sum(ends.values()) == rig.partitions, "claims only"
            people = [Annotation(AT, f"p{item}", "support", item, thumbs="up") for item in (unknown, "new-item")]
            await rig.produce(people)
            await rig.settled()
            await rig.until("a recount", lambda: rig.matches([*facts, *new, *people]))
            await shows(rig, views.enter_context(view_of(rig, "new")), [*facts, *new, *people])
            assert "reading" not in worker.text(), "the ledger has everything that was processed before"
