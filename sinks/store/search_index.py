"""Keeps the documents by which items are found (`sinks.queries.search`) up to date with the rows.

The transaction that merges rows only notes which items may have changed (`NOTE`). A later one writes their documents,
some at a time: writing them together with the rows would take as long as the rows do.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
import time
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

from sinks import budgets
from sinks.queries.search import queue_word, words_in

NOTE: Final = "INSERT OR IGNORE INTO search_pending SELECT item_id, queue FROM touched_items"
"""SQL: note the items that the rows of this transaction may have changed (`sinks.store.derive`)."""

_DOCUMENTS: Final = 500
"""Most documents of a transaction: it takes about 50 ms, and writers of the store wait meanwhile."""
_CHARACTERS: Final = 1_000_000
"""Characters of texts after which a transaction ends early."""
_SECONDS: Final = 0.1
"""Time after which a transaction ends early."""
_SPARE: Final = 10_000
"""Replaced documents that a table may have in addition to as many as stand."""

_PENDING: Final = """
SELECT p.item_id, p.queue, q.id FROM search_pending AS p LEFT JOIN queues AS q ON q.queue = p.queue LIMIT :most
"""
_LEFT: Final = """
SELECT d.item_id, d.queue, q.id FROM search_documents AS d JOIN queues AS q ON q.queue = d.queue
WHERE d.document < :first LIMIT :most
"""
_IN_QUEUE: Final = "SELECT 1 FROM profile_items WHERE item_id = :item AND queue = :queue"
_STANDING: Final = "SELECT document, digest FROM search_documents WHERE item_id = :item AND queue = :queue"
_TEXTS: Final = f"""
SELECT item, NULL, NULL, NULL FROM items WHERE item_id = :item
UNION ALL SELECT input, output, NULL, NULL FROM queue_items
WHERE queue = :queue AND item_id = :item AND deleted = 0
UNION ALL SELECT * FROM (
    SELECT input, output, explanation, expected FROM annotations
    WHERE queue = :queue AND item_id = :item AND deleted = 0 ORDER BY id DESC LIMIT {budgets.SEARCHED_ROWS})
UNION ALL SELECT * FROM (
    SELECT input, output, reason, NULL FROM evaluations
    WHERE item_id = :item AND deleted = 0 ORDER BY id DESC LIMIT {budgets.SEARCHED_ROWS})
"""


class _IndexState(NamedTuple):
    """The row of search_state."""

    active: int
    first: int
    next: int


def write_documents(connection: sqlite3.Connection) -> bool:
    """Write the documents of some items in the caller's transaction; returns whether more are to be written."""
    state = _IndexState(*connection.execute("SELECT active, first, next FROM search_state").fetchone())
    values = {"most": _DOCUMENTS, "first": state.first}
    rows = connection.execute(_PENDING, values).fetchall() or connection.execute(_LEFT, values).fetchall()
    if not rows:
        return _clean(connection, state)
    characters = 0
    done = []
    end = time.monotonic() + _SECONDS
    for item, queue, queue_id in rows:
        texts = _texts(connection, item, queue)
        state = _replace(connection, (item, queue, queue_id), _words(texts), state)
        done.append((item, queue))
        characters += sum(map(len, texts))
        if characters >= _CHARACTERS or time.monotonic() >= end:
            break
    connection.executemany("DELETE FROM search_pending WHERE item_id = ? AND queue = ?", done)
    connection.execute("UPDATE search_state SET next = ?", (state.next,))
    return True


def _texts(connection: sqlite3.Connection, item: int, queue: str) -> set[str]:
    """The id and the texts of an item, each once; nothing when the queue does not have the item."""
    texts: set[str] = set()
    values = {"item": item, "queue": queue}
    if connection.execute(_IN_QUEUE, values).fetchone() is None:
        return texts
    characters = 0
    for row in connection.execute(_TEXTS, values):
        for text in row:
            if text is not None and text not in texts and characters < budgets.SEARCHED_CHARACTERS:
                texts.add(text[: budgets.SEARCHED_CHARACTERS - characters])
                characters += len(text)
    return texts


def _words(texts: Iterable[str]) -> list[str]:
    words: set[str] = set()
    for text in texts:
        words.update(words_in(text))
    return sorted(words)


def _replace(
    connection: sqlite3.Connection, row: tuple[int, str, int], words: list[str], state: _IndexState
) -> _IndexState:
    """Write the document of an item, unless the standing one has the same words."""
    item, queue, queue_id = row
    digest = blake2b(" ".join(words).encode(), digest_size=12).digest()
    standing = connection.execute(_STANDING, {"item": item, "queue": queue}).fetchone()
    if standing is not None:
        document, former = standing
        if words and former == digest and document >= state.first:
            return state
        connection.execute("DELETE FROM search_documents WHERE document = ?", (document,))
    if not words:
        return state
    connection.execute("INSERT INTO search_documents VALUES (?, ?, ?, ?)", (state.next, item, queue, digest))
    connection.execute(
        f"INSERT INTO search_words_{state.active} (rowid, words) VALUES (?, ?)",
        (state.next, " ".join((queue_word(queue_id), *words))),
    )
    return state._replace(next=state.next + 1)


def _clean(connection: sqlite3.Connection, state: _IndexState) -> bool:
    """Empty the table that has been left, or leave the active one when most of its documents are replaced.

    All items are in the active table. Returns whether there is more to do.
    """
    other = 1 - state.active
    # The first records of the table are always there.
    (used,) = connection.execute(f"SELECT EXISTS (SELECT 1 FROM search_words_{other}_data WHERE id > 10)").fetchone()
    if used:
        connection.execute(f"INSERT INTO search_words_{other} (search_words_{other}) VALUES ('delete-all')")
        return False
    written = state.next - state.first
    if written > _SPARE:
        (standing,) = connection.execute("SELECT count(*) FROM search_documents").fetchone()
        if written > 2 * standing + _SPARE:
            connection.execute("UPDATE search_state SET active = ?, first = ?", (other, state.next))
            return True
    return False
