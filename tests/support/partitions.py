"""Owned partitions in tests."""

from streams.engine.partition import Drained, OwnedPartition


def drain(owned: OwnedPartition) -> Drained:
    """Take what the next checkpoint writes, in one go."""
    drained = owned.begin_drain()
    for _ in owned.draining(drained):
        pass
    return drained
