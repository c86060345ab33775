"""The page of the items to label next, and their export as CSV."""

import csv
import io
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from aggregator.days import Window
from aggregator.snapshot.schema import SnapshotDocument
from sinks.api.services import Services
from sinks.documents import first_criterion
from sinks.page.csv_cells import guarded
from sinks.page.layout import Shell, shell
from sinks.page.urls import Value, address, openable, queue_path
from sinks.queries.next_items import ITEMS, SAMPLED_BY, NextItem, NextItems, NextQuery, Strategy, next_items
from sinks.queries.queues import QueueEntry
from sinks.queries.scope import Scope

COLUMNS: Final = ("item", "level", "criterion", "url", "input", "output", SAMPLED_BY)
"""Columns of the CSV file. Its rows have everything that an annotation tool needs, and no verdict."""
STRATEGY_WORDS: Final[Mapping[Strategy, tuple[str, str]]] = {
    Strategy.RANDOM: ("Random", "Every item is equally likely, so all numbers stay unbiased."),
    Strategy.BOUNDARY: (
        "Near the threshold",
        "Items whose scores are near the threshold of a metric, where verdicts are least certain.",
    ),
    Strategy.DISAGREEMENT: ("Metrics contradict each other", "Items that some metrics pass and others fail."),
}
"""Name of a strategy, and what it chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRequest:
    """The reader's choice of items to label. Without a criterion it is the queue's first."""

    queue: str
    query: NextQuery

    def href(self, rest: str = "/next", **changes: Value) -> str:
        """The address of this page, or of its export, with changes."""
        query = self.query
        parameters: dict[str, Value] = {
            "criterion": query.criterion,
            "strategy": None if query.strategy is Strategy.RANDOM else query.strategy.value,
            "metric": query.metric,
            "seed": query.seed or None,
            "limit": None if query.limit == ITEMS else query.limit,
        }
        return address(queue_path(self.queue, rest), {**parameters, **changes})


@dataclass(frozen=True, slots=True)
class NextPage:
    """Content of the page."""

    shell: Shell
    request: NextRequest
    document: SnapshotDocument
    answer: NextItems
    criteria: list[str]
    metrics: list[str]

    @property
    def words(self) -> str:
        """What the strategy chooses."""
        return STRATEGY_WORDS[self.request.query.strategy][1]

    def of_these(self, rest: str = "/next", **more: Value) -> str:
        """The address of exactly the items on the page, or of their export."""
        return self.request.href(rest, selection=self.answer["selection"] or None, **more)

    @property
    def strategies(self) -> list[tuple[str, str, bool]]:
        """Name, address, and whether it is the chosen one, of each strategy."""
        return [
            (name, self.request.href(strategy=strategy.value), strategy is self.request.query.strategy)
            for strategy, (name, _) in STRATEGY_WORDS.items()
        ]

    @property
    def rows(self) -> list[tuple[NextItem, str | None]]:
        """The items, each with the address that a link may have."""
        return [(item, openable(item["url"])) for item in self.answer["items"]]


def next_page(
    services: Services, connection: sqlite3.Connection, entry: QueueEntry, request: NextRequest
) -> NextPage | None:
    """The items to label next in the state that a connection sees; None before the first checkpoint."""
    surrounding, state = shell(services, connection, request.queue)
    document = services.documents.build(connection, entry, state, Window.ALL)
    if document is None:
        return None
    criteria = [criterion["criterion"] for criterion in document["criteria"]]
    if not request.query.criterion:
        request = replace(request, query=replace(request.query, criterion=first_criterion(document)))
    config = services.config
    scope = Scope(request.queue, Window.ALL, services.today(), config.rules)
    return NextPage(
        shell=surrounding,
        request=request,
        document=document,
        answer=next_items(connection, scope, request.query, config.item_url),
        criteria=criteria or [request.query.criterion],
        metrics=sorted({metric["metric"] for each in document["criteria"] for metric in each["metrics"]}),
    )


def next_csv(answer: NextItems) -> bytes:
    """The items as CSV, in the form of the export of comparisons."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for item in answer["items"]:
        cells = {**item, "criterion": answer["criterion"], SAMPLED_BY: answer["sampled_by"]}
        writer.writerow([guarded(cells[name]) for name in COLUMNS])
    return text.getvalue().encode()
