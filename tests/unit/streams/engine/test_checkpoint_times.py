"""What a checkpoint states and measures about time: in its markers, in the health, and in the histogram."""

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from faust.types import TP

from aggregator.policy import Policy
from aggregator.shard import Shard
from aggregator.tallies import MARKER_KEY
from streams.engine.checkpoint import Checkpoint
from streams.engine.completeness import Now
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.start import Start
from streams.kafka.watermarks import Watermarks
from streams.ledger.claim import Claim
from streams.runtime.health import Health
from streams.runtime.metrics import WorkerMetrics

SOURCE = TP("alignment.annotations.v1", 0)
HOUR_MS = 3_600_000


class FakeLog:
    """A log that keeps what is appended; `stuck` until the broker accepts writes."""

    def __init__(self, appended: int) -> None:
        self.next = 0
        self.appended = appended
        self.rows: list[tuple[bytes, bytes]] = []
        self.accepts = asyncio.Event()
        self.accepts.set()

    async def append(self, rows: Any) -> int:
        new = list(rows)
        await self.accepts.wait()
        self.rows += new
        self.next += len(new)
        return sum(len(key) + len(value) for key, value in new)


class Fixture:
    def __init__(self) -> None:
        self.now = Now.read()
        self.marks: Watermarks | None = None
        self.ledger, self.tallies = FakeLog(int(self.now.wall_ms)), FakeLog(int(self.now.wall_ms))
        self.owned = OwnedPartitions()
        self.owned.assign({0}, self._partition)
        self.health = Health(restored=True, late=self.owned.late)
        self.metrics = WorkerMetrics("0", lambda: ())
        group: Any = SimpleNamespace(watermarks=lambda _: self.marks, release=lambda _: None)
        self.checkpoint = Checkpoint(Policy.EACH, group, self.metrics, lambda _: None, self.health)
        (self.partition,) = self.owned
        self.partition.restored({SOURCE: Start(10)})
        self.owned.begin_generation(1)

    def _partition(self, number: int) -> OwnedPartition:
        ledger: Any = self.ledger
        tallies: Any = self.tallies
        owned = OwnedPartition(number, Shard(number), ledger, tallies)
        owned.claimed(Claim("l", 1, Policy.EACH, 1, "w", 1))
        return owned

    async def marker(self) -> Any:
        await self.checkpoint([self.partition])
        key, value = self.tallies.rows[-1]
        assert key == MARKER_KEY
        return orjson.loads(value)


@pytest.fixture
async def made() -> Fixture:
    return Fixture()


async def test_a_marker_states_the_last_fetch_of_a_partition_that_is_caught_up(made: Fixture) -> None:
    made.marks = Watermarks(10, 10, int(made.now.wall_ms) - 40)
    marker = await made.marker()
    assert int(made.now.wall_ms) - 60 <= marker["at"] <= Now.read().wall_ms
    assert "behind" not in marker
    assert marker["sources"][SOURCE.topic]["end"] == 10


@pytest.mark.parametrize(
    ("stable", "breaker", "why"),
    [(11, None, "catching_up"), (10, None, "open_transaction"), (11, "20 in a row", "circuit_breaker")],
)
async def test_a_marker_names_why_events_wait(made: Fixture, stable: int, breaker: str | None, why: str) -> None:
    made.partition.complete.restored(int(made.now.wall_ms) - 20_000)
    made.marks = Watermarks(12, stable, int(made.now.wall_ms))
    made.health.circuit_breaker = breaker
    marker = await made.marker()
    assert (marker["at"], marker["behind"]) == (int(made.now.wall_ms) - 20_000, why)
    assert marker["sources"][SOURCE.topic]["end"] == 12, "events of an open transaction are part of the source"
    assert made.health.ready == (why == "catching_up")
    assert (0 in made.health.behind) and "wait" in made.health.behind[0]


async def test_a_small_lag_is_not_reported(made: Fixture) -> None:
    made.partition.complete.restored(int(made.now.wall_ms) - 5_000)
    made.marks = Watermarks(12, 10, int(made.now.wall_ms))
    await made.marker()
    assert (made.health.ready, made.health.behind) == (True, {})


async def test_a_checkpoint_that_is_not_acknowledged_is_a_reason(made: Fixture) -> None:
    made.marks = Watermarks(10, 10, int(made.now.wall_ms))
    made.tallies.accepts.clear()
    writing = asyncio.create_task(made.checkpoint([made.partition]))
    await asyncio.sleep(0)
    assert made.health.ready, "a checkpoint takes a moment"
    assert made.health.checkpoint_since is not None
    made.health.checkpoint_since -= 16
    (reason,) = made.health.reasons
    assert reason.startswith("the broker has not acknowledged a checkpoint for 16 s")
    made.tallies.accepts.set()
    await writing
    assert made.health.ready


@pytest.mark.parametrize("clock", [HOUR_MS, -HOUR_MS])
async def test_a_clock_that_is_set_does_not_spoil_the_histogram(
    made: Fixture, clock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.partition.processed(SOURCE.topic, 11, int(made.now.wall_ms) - 250, int(made.now.wall_ms) - 250)
    wrong = SimpleNamespace(monotonic=lambda: made.now.monotonic, time=lambda: (int(made.now.wall_ms) + clock) / 1000)
    monkeypatch.setattr("streams.engine.checkpoint.time", wrong)
    await made.checkpoint([made.partition])
    value = made.metrics.registry.get_sample_value("eval_alignment_event_to_publish_seconds_sum")
    assert value == pytest.approx(0.25)


async def test_a_marker_of_a_partition_that_processes_again_keeps_the_position_that_was_counted(made: Fixture) -> None:
    made.partition.restored({SOURCE: Start(4, counted=10)})
    positions = []
    for following in (6, 10, 11):
        made.partition.processed(SOURCE.topic, following, oldest=None)
        positions.append((await made.marker())["sources"][SOURCE.topic]["position"])
    assert positions == [10, 10, 11]
