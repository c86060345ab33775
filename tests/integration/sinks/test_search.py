"""A reader makes the items that it reads searchable, against real Kafka."""

from aggregator.facts import QueueItem
from sinks.queries.search import search_items
from sinks.store.store import Store
from tests.integration.sinks.test_reader import Topics, comparison, running
from tests.support.kafka import Kafka
from tests.support.logs import Logs
from tests.support.waiting import eventually


async def test_items_become_searchable_after_they_are_read(kafka: Kafka, prefix: str, store: Store) -> None:
    topics, log = Topics(kafka.bootstrap, prefix), Logs()
    await topics.make(1)

    def searchable(items: int) -> bool:
        with store.read() as connection:
            (written,) = connection.execute("SELECT count(*) FROM search_documents").fetchone()
            return search_items(connection, "support", "item")[1]["not_searchable"] == 0 and written == items

    async with running(topics, store) as view:
        log.write(comparison(1))
        await topics.copy(log)
        await view.becomes_ready()
        await eventually(lambda: searchable(1))
        log.write([*comparison(2), QueueItem(at=9, id="q", queue="support", item="item 1", deleted=True)])
        await topics.copy(log)
        await view.reaches(log)
        await eventually(lambda: searchable(1))
