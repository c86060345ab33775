"""The consumer group of a Faust app, as restore and checkpoint see it."""

from collections.abc import Iterable, Mapping
from typing import cast

import faust
from faust.types import TP

from streams.kafka.transport import BatchConsumer
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError


class ConsumerGroup:
    """Membership, assignment and offsets of one member. Only source partitions are meant here."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    @property
    def _consumer(self) -> BatchConsumer:
        return cast("BatchConsumer", self._app.consumer)

    def generation(self) -> int:
        """Generation of the assignment."""
        return int(self._app.consumer_generation_id)

    def membership(self) -> tuple[int, bool]:
        """The generation as the coordinator knows it (-1: not a member), and whether its task is alive."""
        return self._consumer.batches.membership()

    def commits(self) -> int:
        """How many commits succeeded so far."""
        return self._consumer.commits

    def assigned(self) -> set[TP]:
        """The partitions of this member."""
        return set(self._consumer.assignment())

    async def committed(self, partitions: Iterable[TP]) -> Mapping[TP, int | None]:
        """Committed offsets, None where none was ever committed."""
        return await self._consumer.batches.committed(partitions)

    async def starts(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """Oldest offsets that are left."""
        return {TP(*tp): offset for tp, offset in (await self._consumer.earliest_offsets(*partitions)).items()}

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """End offsets, from the broker."""
        found = await self._consumer.batches.highwaters(*partitions)
        return {TP(*tp): offset for tp, offset in found.items()}

    async def seek(self, positions: Mapping[TP, int]) -> None:
        """Fetch from these offsets."""
        await self._consumer.batches.seek_all(positions)

    async def commit(self, positions: Mapping[TP, int]) -> None:
        """Commit these offsets now, lower ones than before too. Raises FatalError when the group refuses."""
        if positions and not await self._consumer.batches.commit(positions):
            raise FatalError(ExitCode.STALLED, "the group refused a commit")

    def release(self, positions: Mapping[TP, int]) -> None:
        """These offsets may be committed by the commit timer."""
        self._consumer.make_committable(positions)

    async def commit_pending(self) -> bool:
        """Commit what was released; False when the group moved on."""
        return await self._consumer.commit_pending()

    def forget(self) -> None:
        """Nothing is released any more."""
        self._consumer.forget_committable()

    def end(self, partition: TP) -> int | None:
        """End offset as the last fetch told it."""
        return self._consumer.batches.end_offset(partition)

    def committed_offset(self, partition: TP) -> int | None:
        """What is known to be committed, without asking the broker."""
        return self._consumer.committed_offset(partition)
