"""Stores for tests, and their comparison with a recount of the same facts."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact, key
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from sinks.documents import Documents
from sinks.queries.queues import list_queues
from sinks.store.schema import JUDGED, PROFILE
from sinks.store.store import Store

TODAY = date(1970, 1, 8)
"""The times of the strategies lie around the midnight of 1970-01-02; the 7-day window of this day starts on it."""


@cache
def _empty() -> bytes:
    """The file of an empty store."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        Store(path).close()
        return path.read_bytes()


def open_store(path: Path) -> Store:
    """An empty store in a file. A copy takes 3 ms; the migrations, each committed to the disk, take 70 ms."""
    path.write_bytes(_empty())
    return Store(path)


@contextlib.contextmanager
def new_store() -> Iterator[Store]:
    """An empty store in a temporary directory."""
    with tempfile.TemporaryDirectory() as directory, contextlib.closing(open_store(Path(directory) / "s")) as store:
        yield store


def dump(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Rows of every table in an order of their own, with the names of items in place of their numbers."""
    with store.read() as connection:
        items, tables = dict(connection.execute("SELECT item_id, item FROM items")), {}
        for table in ("annotations", "evaluations", "queue_items", "item_days"):
            rows = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 -- a constant
            place = [name for name, *_ in rows.description].index("item_id")
            named = ((*row[:place], items[row[place]], *row[place + 1 :]) for row in rows)
            tables[table] = sorted(named if table == "item_days" else (row[1:] for row in named))
        return tables


_PROFILES = f"""
SELECT queue, item_id, profile FROM (
    SELECT t.queue, t.item_id, {PROFILE} AS profile
    FROM (SELECT queue, item_id FROM annotations UNION SELECT queue, item_id FROM queue_items) AS t
    JOIN (SELECT t.item_id, {JUDGED} FROM items AS t) AS j ON j.item_id = t.item_id)
WHERE profile IS NOT NULL
"""  # noqa: S608 -- a constant


def compare_profiles(store: Store) -> None:
    """Fail unless the item profiles, and the number of items of each, are those that the rows yield."""
    with store.read() as connection:
        expected = connection.execute(_PROFILES).fetchall()
        kept = connection.execute(
            "SELECT s.queue, s.item_id, f.profile FROM profile_items AS s "
            "LEFT JOIN item_profiles AS f ON f.id = s.profile_id AND f.queue = s.queue"
        ).fetchall()
        counted = connection.execute("SELECT queue, profile, items FROM item_profiles").fetchall()
    assert sorted(kept) == sorted(expected)
    assert {(queue, profile): items for queue, profile, items in counted} == Counter(
        (row[0], row[2]) for row in expected
    )


def assert_matches(store: Store, facts: list[Fact], policy: Policy, rules: CountingRules | None = None) -> None:
    """Fail unless rows and all documents are those of a recount of the facts."""
    recount = Recount(facts, policy)
    rules = rules or CountingRules()
    compare_profiles(store)
    assert {key(fact): fact for fact in store.facts()} == recount.rows
    documents = Documents(store, rules, lambda: TODAY)
    with store.read() as connection:
        assert sorted(entry.queue for entry in list_queues(connection)) == recount.queues
    for queue in recount.queues:
        for window in Window:
            document = documents.get(queue, window)
            expected = recount.document(queue, window=window, today=TODAY, rules=rules)
            assert document is not None
            assert (document["cards"], document["criteria"]) == (expected["cards"], expected["criteria"])


def comparisons(count: int, item: str = "item") -> list[Fact]:
    """Comparisons of one queue, an item each."""
    facts: list[Fact] = []
    for number in range(count):
        facts.append(Annotation(at=number, id="a", queue="q", item=f"{item} {number}", stars=1 + number % 5))
        facts.append(Evaluation(at=number, id="e", item=f"{item} {number}", metric="m", passed=number % 2 == 0))
    return facts
