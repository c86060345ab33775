"""Row 19: a tally that differs from the fold of the rows is found, in memory and as published."""

import signal
import time
from collections.abc import Callable

import pytest

from aggregator.facts import Annotation
from tests.faults.judging import clean, judged
from tests.faults.load import Load
from tests.integration.streams.rig import Rig, WorkerProcess, history

AUDIT_SECONDS = 0.2
# Audits take at most a twentieth of the time: if one takes two seconds, five take more than three minutes.
AUDITED_SECONDS = 240.0
T0 = 1_780_000_000_000

Measure = Callable[..., None]


@pytest.mark.row(19)
@pytest.mark.faults
async def test_row_19_the_audit_finds_nothing_where_nothing_is_wrong(rig: Rig, measured: Measure) -> None:
    worker = rig.worker(audit=AUDIT_SECONDS)
    await rig.restored(worker)
    async with Load(rig, per_second=1_000):

        async def audited() -> bool:
            return worker.text().count(" matches the recount of its ") > rig.partitions

        await rig.until("every partition was audited under load", audited, AUDITED_SECONDS)
    await judged(rig)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    clean([worker])
    counted = worker.counters()
    assert counted["eval_alignment_audits"] > rig.partitions
    assert counted["eval_alignment_audit_mismatches"] == 0
    measured(f"{counted['eval_alignment_audits']} audits under load, 0 mismatches")


@pytest.mark.row(19)
@pytest.mark.parametrize(
    ("fault", "what"),
    [("memory_goes_bad", "counted"), pytest.param("publishes_wrong", "published", marks=pytest.mark.slow)],
)
async def test_row_19_the_audit_finds_a_corruption(rig: Rig, measured: Measure, fault: str, what: str) -> None:
    facts = history(seed=19, events=3_000, items=50)
    worker = rig.worker(audit=AUDIT_SECONDS, inject=fault)
    await rig.produce(facts)
    await rig.settled()
    worker.signal(signal.SIGUSR1)
    began = time.monotonic()
    # One more checkpoint, with its own tallies only.
    later = Annotation(T0, "later", "another", "item-1", thumbs="up")
    await rig.produce([later])
    await rig.until("found", lambda: says(worker, f'"]: {what} is '))
    measured(f"{fault.replace('_', ' ')}: found after", time.monotonic() - began)
    assert "audit: 1 tallies of partition" in worker.text()
    assert worker.process.poll() is None, "it goes on, and an operator is told"
    # A restart counts and publishes again.
    worker.kill()
    again = rig.worker(audit=AUDIT_SECONDS)
    await rig.restored(again)
    await rig.verify([*facts, later])
    again.signal(signal.SIGTERM)
    assert await again.ended() == 0
    assert again.counters()["eval_alignment_audit_mismatches"] == 0


async def says(worker: WorkerProcess, text: str) -> bool:
    """Whether the log has the message."""
    return text in worker.text()
