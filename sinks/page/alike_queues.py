"""Finds the queues of a store whose names look alike."""

import sqlite3

from aggregator.names import alike
from sinks.page.deep_dive import AnswerCache
from sinks.queries.queues import list_queues, newest_queue


def alike_queues(cache: AnswerCache, connection: sqlite3.Connection) -> list[list[str]]:
    """Groups of queues whose names look alike, computed again only after a new queue."""
    key = newest_queue(connection), "alike queues"
    return cache.get(key, lambda: alike(entry.queue for entry in list_queues(connection)))
