"""The consumer group of a Faust app, for restore and checkpoint."""

from collections.abc import Iterable, Mapping
from typing import cast

import faust
from faust.types import TP

from streams.kafka.transport import BatchConsumer
from streams.kafka.watermarks import Watermarks


class ConsumerGroup:
    """Membership, assignment and offsets of one member. All partitions here are source partitions."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    @property
    def _consumer(self) -> BatchConsumer:
        return cast("BatchConsumer", self._app.consumer)

    def generation(self) -> int:
        """The generation of the current assignment."""
        return int(self._app.consumer_generation_id)

    def membership(self) -> tuple[int, bool]:
        """The coordinator's generation (-1: not a member), and whether the task that keeps the membership is alive."""
        return self._consumer.batches.membership()

    def commits(self) -> int:
        """The number of successful commits."""
        return self._consumer.commits

    def assigned(self) -> set[TP]:
        """The partitions assigned to this member."""
        return set(self._consumer.assignment())

    async def committed(self, partitions: Iterable[TP]) -> Mapping[TP, int | None]:
        """Committed offsets, asked from the broker; None for a partition without one."""
        return await self._consumer.batches.committed(partitions)

    async def starts(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """The oldest offsets that are left, asked from the broker."""
        return {TP(*tp): offset for tp, offset in (await self._consumer.earliest_offsets(*partitions)).items()}

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """End offsets, asked from the broker."""
        ends = await self._consumer.batches.highwaters(*partitions)
        return {TP(*tp): offset for tp, offset in ends.items()}

    async def seek(self, positions: Mapping[TP, int]) -> None:
        """Continue fetching from these offsets."""
        await self._consumer.seek_all(positions)

    async def commit(self, positions: Mapping[TP, int]) -> bool:
        """Commit these offsets now, even if they are lower than before. Returns False if the group refuses."""
        return not positions or await self._consumer.commit_now(positions)

    def release(self, positions: Mapping[TP, int]) -> None:
        """Let the commit timer commit these offsets."""
        self._consumer.make_committable(positions)

    async def commit_pending(self) -> bool:
        """Commit all released offsets. Returns False if the group refuses."""
        return await self._consumer.commit_pending()

    def forget(self) -> None:
        """Drop all released offsets: the assignment is over."""
        self._consumer.forget_committable()

    def watermarks(self, partition: TP) -> Watermarks | None:
        """The ends that the last fetch reported; None before the first."""
        return self._consumer.batches.watermarks(partition)

    def committed_offset(self, partition: TP) -> int | None:
        """The last offset that this member committed; None if it is not known."""
        return self._consumer.committed_offset(partition)
