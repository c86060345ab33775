"""The offsets from which a restored worker reads its sources."""

import contextlib
from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from aggregator.policy import Policy
from aggregator.tallies import CheckpointMarker, source_position
from streams.engine.partition import OwnedPartitions
from streams.engine.restore import Restore
from streams.kafka.client import KAFKA
from streams.ledger.claim import CLAIM_KEY, new_claim
from streams.ledger.published import Published
from streams.runtime.failures import FatalError
from streams.worker import WorkerConfig
from tests.support.partitions import drain

SOURCE = TP("alignment.annotations.v1", 0)


class _Offsets:
    """A group whose member owns partition 0 of the three sources; only one has a committed offset."""

    def __init__(self, committed: dict[TP, int]) -> None:
        self._committed = committed
        self.sought: dict[TP, int] = {}

    def assigned(self) -> set[TP]:
        return {TP(topic, 0) for topic in WorkerConfig(("b",), "w").topics.sources}

    async def committed(self, partitions: list[TP]) -> dict[TP, int | None]:
        return {tp: self._committed.get(tp) for tp in partitions}

    async def starts(self, partitions: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(partitions, 3)

    async def ends(self, partitions: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(partitions, 100)

    async def commit(self, positions: dict[TP, int]) -> bool:
        return not positions

    async def seek(self, positions: dict[TP, int]) -> None:
        self.sought.update(positions)


async def nothing(*_: Any, **__: Any) -> dict[int, Any]:
    return {}


def restore(
    monkeypatch: pytest.MonkeyPatch, group: _Offsets, owned: OwnedPartitions, topic_id: str | None = None, **steps: Any
) -> Restore:
    """A restore of one partition whose logs are not read."""

    async def describe(names: Collection[str]) -> dict[str, Any]:
        return {name: SimpleNamespace(id=topic_id) for name in names}

    for step in ("_replay", "_look_for_lost_ledgers", "_claim", "_compare", "_repair"):
        monkeypatch.setattr(Restore, step, steps.get(step, nothing))
    return Restore(
        name="w",
        topics=WorkerConfig(("b",), "w").topics,
        partitions=1,
        policy=WorkerConfig(("b",), "w").policy,
        accept_loss=False,
        capabilities=KAFKA,
        group=group,  # type: ignore[arg-type]
        producer=None,  # type: ignore[arg-type]
        reader=None,  # type: ignore[arg-type]
        describe=describe,
        checkpoint=nothing,  # type: ignore[arg-type]
        metrics=None,  # type: ignore[arg-type]
        on_step=lambda _: None,
        owned=owned,
    )


async def test_no_garbage_is_collected_while_rows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    @contextlib.contextmanager
    def pause() -> Iterator[None]:
        steps.append("begin")
        yield
        steps.append("end")

    async def replay(*_: Any) -> None:
        steps.append("rows")

    monkeypatch.setattr("streams.engine.restore.pause_collection", pause)
    await restore(monkeypatch, _Offsets({}), OwnedPartitions(), _replay=replay)(lambda: False)
    assert steps == ["begin", "rows", "end"]


# Faust does not seek in a partition without a committed offset.
async def test_partitions_that_were_never_committed_are_sought_to_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    group, owned = _Offsets({SOURCE: 42}), OwnedPartitions()
    restoring = restore(monkeypatch, group, owned)
    await restoring(lambda: False)
    expected = {
        SOURCE: 42,
        TP(restoring.topics.evaluations, 0): 3,
        TP(restoring.topics.queue_items, 0): 3,
    }
    assert group.sought == expected
    (partition,) = owned
    assert partition.sources() == expected


@pytest.mark.parametrize(
    ("topic_id", "seen", "left"),
    [
        pytest.param("a", 60, True, id="the same topic"),
        pytest.param("b", 60, False, id="deleted and created again"),
        pytest.param("a", 101, False, id="beyond the end"),
    ],
)
async def test_a_circuit_breaker_is_half_open_for_the_topic_that_it_saw(
    monkeypatch: pytest.MonkeyPatch, topic_id: str, seen: int, left: bool
) -> None:
    group, owned = _Offsets({}), OwnedPartitions()

    async def compare(restoring: Restore, *_: Any) -> dict[int, Any]:
        """The marker of the process before this one."""
        (partition,) = restoring.owned
        partition.half_open("w", {"w": {SOURCE.topic: seen}, "x": {SOURCE.topic: seen}})
        marker = Published("l", 9)
        sources = {topic: source_position(20, 20, "a") for topic in restoring.topics.sources}
        marker.marker = CheckpointMarker(ledger="l", position=1, policy="each", at=0, sources=sources)
        return {0: marker}

    await restore(monkeypatch, group, owned, topic_id, _compare=compare)(lambda: False)
    (partition,) = owned
    assert partition.seen_before == ({SOURCE.topic: seen} if left else {})
    own = {SOURCE.topic: seen}
    assert drain(partition).seen_by == ({"w": own, "x": own} if left else {})


@pytest.mark.parametrize(("theirs", "same"), [("1a" * 16, True), ("2b" * 16, False), ("", False)])
async def test_an_empty_partition_is_not_claimed_with_another_key_of_pseudonyms(
    monkeypatch: pytest.MonkeyPatch, theirs: str, same: bool
) -> None:
    """Partition 0 is another worker's, and its claim creates the ledger id."""
    claim = new_claim("5f0c", 2, Policy.EACH, "other", 1, waiting=False, pseudonyms=theirs)

    async def read(_: Restore, logs: Any, on_records: Any) -> None:
        on_records(logs[0], [SimpleNamespace(key=CLAIM_KEY, value=claim.encode())])

    restoring = restore(monkeypatch, _Offsets({}), OwnedPartitions())
    restoring.pseudonyms = "1a" * 16
    monkeypatch.setattr(Restore, "_read", read)
    if same:
        assert await restoring._first_id(1, None) == "5f0c"
        return
    with pytest.raises(FatalError, match=r"facts.v1\[0\]"):
        await restoring._first_id(1, None)
