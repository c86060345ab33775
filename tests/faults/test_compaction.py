"""Row 17: a real broker compacts ledger and tallies, and a restore still yields the counts."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from aggregator.facts import Annotation
from tests.faults.judging import clean, judged
from tests.integration.streams.rig import Rig, history
from tests.support.wire import Wire

NOW = 1_780_500_000_000
CLEANED_SECONDS = 60.0
ROUNDS = 12
PROMPT = {
    "cleanup_policy": "compact",
    "message_timestamp_type": "LogAppendTime",
    "min_compaction_lag_ms": "0",
    "max_compaction_lag_ms": "1000",
    "min_cleanable_dirty_ratio": "0.01",
    "segment_ms": "1000",
    "segment_bytes": "1048576",
}
"""Topic settings under which the log cleaner runs immediately; `_` stands for a dot."""

Measure = Callable[..., None]


@pytest.mark.row(17)
@pytest.mark.faults
async def test_row_17_a_compacted_ledger_yields_the_same_counts(rig: Rig, wire: Wire, measured: Measure) -> None:
    logs = (rig.topics.facts, rig.topics.tallies)
    for topic in logs:
        await asyncio.to_thread(wire.configure, topic, **PROMPT)
    # Few rows, nearly all rewritten in every round: oldest first, so that each event is newer.
    facts = sorted(history(seed=17, events=12_000, items=12), key=lambda fact: fact.at)
    worker = rig.worker()
    for part in range(ROUNDS):
        await rig.produce(facts[part * len(facts) // ROUNDS : (part + 1) * len(facts) // ROUNDS])
        await rig.settled()

    async def kept() -> list[tuple[int, int]]:
        # The number of records that are left, and that were ever written.
        return [(len(await rig.read(topic)), sum((await rig.ends(topic)).values())) for topic in logs]

    async def cleaned() -> bool:
        # Only closed segments are cleaned, and only writing closes them.
        nudges = [Annotation(NOW + len(facts), "n", "nudged", f"item-{number}", thumbs="up") for number in range(20)]
        facts.extend(nudges)
        await rig.produce(nudges)
        return all(left < written * 0.5 for left, written in await kept())

    await rig.until("ledger and tallies are compacted", cleaned, CLEANED_SECONDS)
    await rig.settled()
    worker.kill()
    again = rig.worker()
    await rig.restored(again)
    (rows_left, rows_written), (tallies_left, tallies_written) = await kept()
    verdict = await judged(rig, compacted=True)
    await rig.verify(facts)
    # The worker continues from there.
    later = history(seed=18, events=2_000, items=60)
    await rig.produce(later)
    await judged(rig, compacted=True)
    await rig.verify([*facts, *later])
    again.signal(signal.SIGTERM)
    assert await again.ended() == 0
    clean(rig.workers)
    measured(
        f"ledger {rows_written} to {rows_left} records for {verdict.rows} rows, tallies {tallies_written} to "
        f"{tallies_left}; counts right after the restore equal"
    )
