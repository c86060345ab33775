"""The offsets from which a restored worker reads its sources."""

from typing import Any

import pytest
from faust.types import TP

from streams.engine.partition import OwnedPartitions
from streams.engine.restore import Restore
from streams.kafka.client import KAFKA
from streams.worker import WorkerConfig

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


# Faust does not seek in a partition without a committed offset.
async def test_partitions_that_were_never_committed_are_sought_to_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    group = _Offsets({SOURCE: 42})
    topics = WorkerConfig(("b",), "w").topics
    owned = OwnedPartitions()

    async def nothing(*_: Any, **__: Any) -> dict[int, Any]:
        return {}

    for step in ("_replay", "_look_for_lost_ledgers", "_claim", "_compare", "_repair"):
        monkeypatch.setattr(Restore, step, nothing)
    restoring = Restore(
        name="w",
        topics=topics,
        partitions=1,
        policy=WorkerConfig(("b",), "w").policy,
        accept_loss=False,
        capabilities=KAFKA,
        group=group,  # type: ignore[arg-type]
        producer=None,  # type: ignore[arg-type]
        reader=None,  # type: ignore[arg-type]
        describe=nothing,  # type: ignore[arg-type]
        checkpoint=nothing,  # type: ignore[arg-type]
        metrics=None,  # type: ignore[arg-type]
        on_step=lambda _: None,
        owned=owned,
    )
    await restoring(lambda: False)
    expected = {SOURCE: 42, TP(topics.evaluations, 0): 3, TP(topics.queue_items, 0): 3}
    assert group.sought == expected
    (partition,) = owned
    assert partition.sources() == expected
