"""What is known about the positions of the sources when a restore looks for their starts."""

from collections.abc import Mapping
from dataclasses import dataclass

from faust.types import TP

from aggregator.tallies import source_position
from streams.engine.partition import OwnedPartition
from streams.engine.start import Known
from streams.ledger.published import Published


@dataclass(frozen=True, slots=True)
class SourceOffsets:
    """Offsets of the assigned source partitions, as the broker reports them."""

    topic_ids: Mapping[str, str]
    """By topic, as far as the broker has ids."""
    committed: Mapping[TP, int | None]
    oldest: Mapping[TP, int]
    ends: Mapping[TP, int]
    """Empty where the broker does not report them exactly."""


def known_source(owned: OwnedPartition, topic: str, offsets: SourceOffsets, published: Published | None) -> Known:
    """What is known about one source partition; `published` is None for a partition that was kept."""
    tp = TP(topic, owned.partition)
    committed = offsets.committed[tp]
    if published is None:
        # Kept since the last restore, and nobody wrote to its logs: it is where this worker left it.
        kept = owned.positions.get(topic)
        tallied = None if kept is None else source_position(kept, kept, owned.topic_ids.get(topic))
    else:
        tallied = (published.sources or {}).get(topic)
        if published.exceed_ledger:
            # A shortened ledger: only what a marker states about the rows that are left counts as processed.
            committed = None
    return Known(
        committed=committed,
        tallied=tallied,
        oldest=offsets.oldest[tp],
        end=offsets.ends.get(tp),
        topic_id=offsets.topic_ids.get(topic),
        marked=published is None or published.sources is not None,
        rows=owned.shard.rows > 0,
    )
