"""Topics that a worker can run with."""

import dataclasses

import pytest

from streams.kafka.topics import TABLE, Topics, TopicsError, check


def test_a_worker_needs_all_topics_with_one_number_of_partitions() -> None:
    topics = Topics()
    counts = dict.fromkeys(dataclasses.astuple(topics), 8)
    assert check(topics, counts) == 8
    with pytest.raises(TopicsError, match=r"missing topics: alignment.queue-items.v1; run `eval-alignment"):
        check(topics, {name: count for name, count in counts.items() if name != topics.queue_items})
    with pytest.raises(TopicsError, match=r"alignment.tallies.v1 has 4"):
        check(topics, {**counts, topics.tallies: 4})


def test_a_longer_retention_is_no_difference() -> None:
    source = TABLE[0]
    assert source.role == "annotations"
    assert source.at_least == {"retention.ms", "max.message.bytes"}
