"""The place of an item in the list from which the reader came, and the addresses of the items before and after it.

The order of a list depends on all of its comparisons. So it is computed once for each list and state of the queue, when
a first item is opened from it, and kept: a reader who goes from item to item stays in that list, while events arrive.
"""

import sqlite3
import threading
from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from sinks.api.services import Services
from sinks.page.items_page import PAGE, ItemsRequest, answerable
from sinks.queries.comparisons import find
from sinks.queries.item_rows import find_item, item_names
from sinks.queries.items import has_comparison, ordered_items
from sinks.queries.queues import QueueEntry, read_state

_KEPT: Final = 2_000_000
"""Most items of all lists that are kept: 16 MB."""
_LEAST: Final = 1_000
"""Items that a short list counts as, so that the number of lists is limited too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedList:
    """The list from which a reader came."""

    choice: ItemsRequest
    revision: int
    """Revision of the queue when it was opened; 0 if that is not known."""
    place: int
    """Place of the item in it then, from 1; 0 if that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPlace:
    """An item in the list from which the reader came."""

    back: str
    """Address of the page of the list where the item is, or was."""
    here: str
    """Address of the item in the list."""
    place: int | None
    """Place in the list, from 1; None if the list does not have the item."""
    total: int
    """Number of items of the list."""
    fits: bool
    """Whether a comparison of the item has the filters of the list now. Words of a search are not looked at."""
    earlier: str | None
    """Address of the item before it."""
    later: str | None
    """Address of the item after it; if the list no longer has the item, of the one that took its place."""


class ItemLists:
    """Lists of items in order, as readers of one view opened them. Any thread may use it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lists: LRUCache[Hashable, array[int]] = LRUCache(_KEPT, getsizeof=lambda ids: max(_LEAST, len(ids)))
        self._lock = threading.Lock()

    def place(self, connection: sqlite3.Connection, entry: QueueEntry, opened: OpenedList, item: str) -> ItemPlace:
        """The place of an item that the queue has, in the state that a connection sees."""
        query, rules, today = opened.choice.query, self._services.config.rules, self._services.today()
        wanted = find_item(connection, query.queue, item)
        assert wanted is not None, "the page of the item was found"
        ids, revision = self._list(connection, entry, opened, wanted)
        place = ids.index(wanted) + 1 if wanted in ids else None
        # Without the item, the places are those before and after the gap that it left.
        gap = min(opened.place, len(ids) + 1) if place is None else place
        before, after = gap - 1, gap if place is None else gap + 1
        neighbours = [each for each in (before, after) if gap and 1 <= each <= len(ids)]
        names = item_names(connection, [ids[each - 1] for each in neighbours])
        links = {each: opened.choice.item(names[ids[each - 1]], each, revision) for each in neighbours}
        page = (max(1, gap) - 1) // PAGE + 1
        return ItemPlace(
            back=opened.choice.href(page=page if page > 1 else None),
            here=opened.choice.item(item, gap or None, revision),
            place=place,
            total=len(ids),
            fits=has_comparison(connection, query, rules, today, wanted),
            earlier=links.get(before),
            later=links.get(after),
        )

    def _list(
        self, connection: sqlite3.Connection, entry: QueueEntry, opened: OpenedList, wanted: int
    ) -> tuple[Sequence[int], int]:
        """The list as the reader opened it, or of now if that one is not kept or does not have the item; and the
        revision that it is of.
        """
        query, today = opened.choice.query, self._services.today()

        def key(revision: int) -> Hashable:
            return query.queue, revision, today, str(query)

        with self._lock:
            kept, current = self._lists.get(key(opened.revision)), self._lists.get(key(entry.revision))
        if kept is not None and wanted in kept:
            return kept, opened.revision
        # What a search finds changes without a change of the queue.
        if current is None or (query.search is not None and wanted not in current):
            current = self._ordered(connection, entry, opened.choice)
            with self._lock:
                self._lists[key(entry.revision)] = current
        return current, entry.revision

    def _ordered(self, connection: sqlite3.Connection, entry: QueueEntry, choice: ItemsRequest) -> "array[int]":
        services = self._services
        rules, today = services.config.rules, services.today()
        document = services.documents.build(connection, entry, read_state(connection), choice.query.window)
        if document is None:
            return array("q")
        query, _ = find(connection, choice.query)
        query = answerable(connection, query, document, rules, today)
        return ordered_items(connection, query, rules, today)
