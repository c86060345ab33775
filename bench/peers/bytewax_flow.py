"""Bytewax: a dataflow joins by item, then counts by group. One worker; no recovery store, so no durability.

Options: `KafkaSource` with batches of 10,000; `stateful_batch`, its operator for batches of values; epochs of one
second. It ends at the end of the topics, and librdkafka commits offsets every second, only to show the progress.
"""

import gc
from datetime import timedelta
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from bench.peers.job import Change, Counts, Group, Item, arguments

Tally = tuple[Group, list[int]]


class JoinLogic(StatefulBatchLogic):
    """One item."""

    def __init__(self, _: object) -> None:
        self._item = Item({}, {})

    def on_batch(self, values: list[dict[str, Any]]) -> tuple[list[Change], bool]:
        """Merge events, and return the changes of counts."""
        return [change for event in values for change in self._item.take(event)], StatefulBatchLogic.RETAIN

    def snapshot(self) -> Item:
        """The state."""
        return self._item


class CountLogic(StatefulBatchLogic):
    """One group."""

    def __init__(self, _: object) -> None:
        self._cell = [0, 0, 0, 0]

    def on_batch(self, values: list[Change]) -> tuple[list[Tally], bool]:
        """Add changes, and return the absolute counts."""
        for _, which, sign in values:
            self._cell[which] += sign
        return [(values[0][0], list(self._cell))], StatefulBatchLogic.RETAIN

    def snapshot(self) -> list[int]:
        """The state."""
        return list(self._cell)


class CountsPartition(StatelessSinkPartition):
    """Keeps the last absolute counts of each group."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def write_batch(self, items: list[tuple[str, Tally]]) -> None:
        """Note them."""
        for _, (group, cell) in items:
            self._counts.cells[group] = cell


class CountsSink(DynamicSink):
    """Where the counts end up."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> CountsPartition:
        """The only part."""
        return CountsPartition(self._counts)


def keyed(message: Any) -> tuple[str, dict[str, Any]]:
    """The event by its item."""
    event = orjson.loads(message.value)
    return event["item"], event


def grouped(change: tuple[str, Change]) -> tuple[str, Change]:
    """The change by its group; keys are text."""
    queue, criterion, metric, day = change[1][0]
    return f"{queue}\0{criterion}\0{metric}\0{day}", change[1]


def main() -> None:
    """Run to the end of the topics."""
    told, counts = arguments(), Counts()
    # What is kept grows for ever and has no cycles.
    gc.disable()
    source = KafkaSource(
        [told.bootstrap],
        [told.annotations, told.evaluations],
        tail=False,
        batch_size=10_000,
        add_config={
            "group.id": told.group,
            "enable.auto.commit": "true",
            "auto.commit.interval.ms": "1000",
            "fetch.wait.max.ms": "50",
        },
    )
    flow = Dataflow("peer")
    events = op.map("key", op.input("source", flow, source), keyed)
    changes = op.map("group", op.stateful_batch("join", events, JoinLogic), grouped)
    op.output("sink", op.stateful_batch("count", changes, CountLogic), CountsSink(counts))
    run_main(flow, epoch_interval=timedelta(seconds=1))
    counts.write(told.cells)


if __name__ == "__main__":
    main()
