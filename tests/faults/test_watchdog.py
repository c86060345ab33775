"""Row 18: a worker that is alive and makes no progress ends within a minute, and its successor continues."""

import signal
import time
from collections.abc import Callable

import pytest

from streams.runtime.exit_codes import ExitCode
from tests.faults.judging import judged
from tests.integration.streams.rig import Rig, history

LIVENESS_SECONDS = 60.0

Measure = Callable[..., None]


@pytest.mark.row(18)
@pytest.mark.faults
@pytest.mark.parametrize("fault", ["commits_freeze", "membership_ends"])
async def test_row_18_a_stalled_worker_ends_and_a_restart_recovers(rig: Rig, measured: Measure, fault: str) -> None:
    facts = history(seed=18, events=4_000, items=100)
    half = len(facts) // 2
    worker = rig.worker(inject=fault)
    await rig.produce(facts[:half])
    await rig.settled()
    worker.signal(signal.SIGUSR1)
    began = time.monotonic()
    await rig.produce(facts[half:])
    assert await worker.ended(LIVENESS_SECONDS) == ExitCode.STALLED.code
    measured(f"{fault.replace('_', ' ')}: ended after", time.monotonic() - began)
    rig.worker()
    verdict = await judged(rig)
    assert verdict.events == len(facts)
    await rig.verify(facts)
