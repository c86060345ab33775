"""An address of every page of a view, found by its routes, so that no page is forgotten."""

from collections.abc import Mapping
from typing import Final

from sinks.page.urls import item_path, queue_path
from tests.support.sample_queue import QUEUE

PAGES: Final[Mapping[str, str]] = {
    "/": "/",
    "/glossary": "/glossary",
    "/statistics": "/statistics",
    "/reasons": "/reasons",
    "/queues/{queue}": queue_path(QUEUE),
    "/queues/{queue}/disagreements": queue_path(QUEUE, "/disagreements?criterion=helpfulness"),
    "/queues/{queue}/items": queue_path(QUEUE, "/items"),
    "/queues/{queue}/items/{item}": item_path(QUEUE, "trace-0007"),
    "/queues/{queue}/next": queue_path(QUEUE, "/next?strategy=boundary"),
}
"""Address in a view of the sample queue, by route: of every route that answers a page."""
WORDS: Final = ("/glossary", "/statistics", "/reasons")
"""Pages of words, which have no numbers of a queue."""
