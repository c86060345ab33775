"""Which checkpoint markers show that a worker runs."""

import time

import pytest

from sinks.freshness import StaleCause
from sinks.store.store import Store
from tests.integration.sinks.test_reader import Topics, comparison, running
from tests.support.kafka import Kafka
from tests.support.logs import Logs
from tests.support.waiting import eventually


@pytest.fixture
def topics(kafka: Kafka, prefix: str) -> Topics:
    return Topics(kafka.bootstrap, prefix)


async def test_only_a_marker_that_is_new_shows_that_a_worker_runs(topics: Topics, store: Store) -> None:
    """The markers of this log state times of 1970: only of a worker that runs do they show a wrong clock."""
    await topics.make(1)
    log = Logs()
    log.write(comparison(1))
    await topics.copy(log)
    async with running(topics, store) as view:

        def cause() -> StaleCause | None:
            return view.freshness.judge({0: log.at}, time.time()).cause

        await view.reaches(log)
        await view.becomes_ready()
        assert cause() is StaleCause.SILENT
        log.write(comparison(2))
        await topics.copy(log)
        await eventually(lambda: cause() is StaleCause.CLOCK)
