"""The audit while rows are in the ledger whose tallies are not published yet."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.policy import Policy
from streams.engine.audit import Audit
from streams.engine.checkpoint import Checkpoint
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.ledger import log as log_module
from streams.runtime.metrics import WorkerMetrics
from tests.fuzz.logs import DAMAGED, TOPICS, LogsClient, fetched, new_logs, restored

AT = 1_780_000_000_000
FACTS: list[Fact] = [Annotation(AT, "a", "q", "i", thumbs="up"), Evaluation(AT, "e", "i", "m", passed=True)]
LATER = Annotation(AT + 1, "b", "q", "i", annotator="another", thumbs="down")
LAST = Annotation(AT + 2, "c", "q", "i", annotator="a third", thumbs="down")


class Audited:
    """A worker on logs in memory that has counted two facts, and its audit."""

    def __init__(self) -> None:
        self.logs = new_logs()
        partitions = restored(self.logs, facts=FACTS)
        self.owned: OwnedPartition = partitions[DAMAGED]
        owned = OwnedPartitions()
        owned.assign(set(partitions), partitions.__getitem__)
        self.metrics = WorkerMetrics("0", lambda: ())
        client: Any = LogsClient(self.logs)
        self.audit = Audit(Policy.EACH, 60.0, owned, client, client, self.metrics)
        group: Any = SimpleNamespace(watermarks=lambda _: None, release=lambda _: None)
        self.checkpoint = Checkpoint(Policy.EACH, group, self.metrics, lambda _: None)

    async def mismatches(self) -> int:
        await self.audit._audit(self.owned, asyncio.Lock())
        return self.audit._mismatches[DAMAGED]


def test_rows_whose_tallies_are_delayed_are_no_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many dirty rows of a partition whose tallies are large are written ahead of them."""
    monkeypatch.setattr(log_module, "fetch", fetched)
    audited = Audited()
    owned, counts = audited.owned, audited.owned.shard.counts
    owned.shard.apply(LATER)
    owned.applied()

    async def audits() -> None:
        await audited.checkpoint.append_rows([owned])
        assert await audited.mismatches() == 0
        # What is counted is compared all the same.
        counts.count_coverage("q", "m", AT // DAY_MS, 0, +1)
        assert await audited.mismatches() == 1
        counts.count_coverage("q", "m", AT // DAY_MS, 0, -1)
        await audited.checkpoint([owned])
        assert await audited.mismatches() == 0
        # Published tallies are compared again.
        last = next(record for record in reversed(tallies.records) if (record.key or b"").startswith(b'["annotations"'))
        last.value = (last.value or b"").replace(b'"contributing":2', b'"contributing":3')
        assert await audited.mismatches() == 1
        # Until then, a mismatch that was found stands.
        owned.shard.apply(LAST)
        owned.applied()
        await audited.checkpoint.append_rows([owned])
        assert await audited.mismatches() == 1
        await audited.checkpoint([owned])
        assert await audited.mismatches() == 0

    tallies = audited.logs[TOPICS.tallies, DAMAGED]
    asyncio.run(audits())
