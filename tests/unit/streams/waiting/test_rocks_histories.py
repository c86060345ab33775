"""Histories of the store against a dictionary: what was covered by a flush is found, and nothing was invented.

A process is killed by opening a copy of its directory: RocksDB writes memory into files when it is closed in order.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.kafka.record_batches import ParsedRecord
from streams.waiting.coverage import OffsetRanges
from streams.waiting.store import Settled
from tests.support.rocks_stores import SPAN_MS, look_up, opened_store

_PARTITIONS = 2
_ITEMS = (b"a", b"b", b"c")


class Histories(RuleBasedStateMachine):
    """One worker after the other on one disk; each reads its partitions from where the store covers them."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.root = Path(tempfile.mkdtemp(prefix="waiting-histories-"))
        self.copies = 0
        self.directory = self.root / "0"
        self.store = opened_store(self.directory)
        self.topic: dict[int, list[ParsedRecord]] = {partition: [] for partition in range(_PARTITIONS)}
        self.position = dict.fromkeys(range(_PARTITIONS), 0)
        self.durable = dict.fromkeys(range(_PARTITIONS), 0)
        """Position of the last flush."""
        self.expired = 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.runner.run(self.store.close())
            self.runner.close()
            shutil.rmtree(self.root)

    @rule(
        partition=st.integers(0, _PARTITIONS - 1),
        produced=st.lists(st.tuples(st.sampled_from(_ITEMS), st.integers(0, 5 * SPAN_MS)), min_size=1, max_size=5),
        read=st.integers(1, 8),
    )
    def produce_and_read(self, partition: int, produced: list[tuple[bytes, int]], read: int) -> None:
        topic = self.topic[partition]
        for item, time_ms in produced:
            topic.append(ParsedRecord(len(topic), time_ms, item, b"%d/%d" % (partition, len(topic)), []))
        start = self.position[partition]
        for each in topic[start : start + read]:
            self.store.put(partition, each)
        self.position[partition] = min(start + read, len(topic))

    @rule()
    def write_window(self) -> None:
        self.store.write_window()

    @rule()
    def begin_to_write(self) -> None:
        self.store._end_window()
        self.store._write_slice()

    @rule(partitions=st.sampled_from([{0, 1}, {0}, {1}]))
    def flush(self, partitions: set[int]) -> None:
        self.runner.run(self.store.flush({each: self._settled(each) for each in partitions}))
        self.durable.update({each: self.position[each] for each in partitions})

    @rule(partition=st.integers(0, _PARTITIONS - 1), read=st.integers(1, 8))
    def read_during_a_flush(self, partition: int, read: int) -> None:
        settled = {each: self._settled(each) for each in range(_PARTITIONS)}
        positions = dict(self.position)

        async def both() -> None:
            flush = asyncio.create_task(self.store.flush(settled))
            await asyncio.sleep(0)
            self.produce_and_read(partition, [(_ITEMS[0], 0)], read)
            await flush

        self.runner.run(both())
        self.durable = positions

    @rule()
    def seal(self) -> None:
        self.runner.run(self.store.seal())

    @rule(before=st.integers(0, 2 * SPAN_MS))
    def expire(self, before: int) -> None:
        self.store.expire(before)
        self.expired = max(self.expired, before)

    @precondition(lambda self: len(self.topic[0]) > 10)
    @rule(partition=st.integers(0, _PARTITIONS - 1))
    def create_the_topic_again(self, partition: int) -> None:
        self.store.forget(partition)
        self.topic[partition] = []
        self.position[partition] = self.durable[partition] = 0

    @rule()
    def restart(self) -> None:
        self.runner.run(self.store.close())
        self._open()

    @rule()
    def kill(self) -> None:
        killed, self.copies = self.directory, self.copies + 1
        self.directory = self.root / f"{self.copies}"
        shutil.copytree(killed, self.directory)
        self.runner.run(self.store.close())
        shutil.rmtree(killed)
        self._open()

    def _open(self) -> None:
        self.store = opened_store(self.directory)
        assert self.store.number == 0
        for partition in range(_PARTITIONS):
            settled = self.store.settled(partition)
            assert (settled.covered.end if settled else 0) == self.durable[partition]
        self.position = dict(self.durable)

    def _settled(self, partition: int) -> Settled:
        return Settled("ledger", "topic", OffsetRanges.of([(0, self.position[partition])]))

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def everything_covered_is_found_and_nothing_else(self) -> None:
        for partition, topic in self.topic.items():
            for item in _ITEMS:
                found = look_up(self.store, partition, item)
                assert found == [topic[each.offset] for each in found]
                assert all(each.key == item for each in found)
                must = [each for each in topic[: self.position[partition]] if each.key == item]
                kept = {each.offset for each in must if each.timestamp >= self.expired}
                assert kept <= {each.offset for each in found}


Histories.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestHistories = Histories.TestCase
