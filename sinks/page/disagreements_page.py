"""The page of the items on which people disagree."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from aggregator.days import Window
from aggregator.snapshot.inputs import CountingRules
from sinks import budgets
from sinks.api.services import Services
from sinks.documents import first_criterion
from sinks.page.layout import Shell, shell
from sinks.page.urls import Value, address, item_path, openable, queue_path
from sinks.queries.item_rows import RowChoice, find_item, item_rows, item_text
from sinks.queries.people import Disagreements, DisputedItem, disagreements
from sinks.queries.queues import QueueEntry
from sinks.queries.scope import Scope

PAGE: Final = 20


@dataclass(frozen=True, slots=True)
class DisagreementsRequest:
    """The reader's choice. Without a criterion it is the queue's first. `skip`: items before the page."""

    queue: str
    criterion: str
    window: Window
    skip: int

    def href(self, **changes: Value) -> str:
        """The address of this page with changes."""
        return address(queue_path(self.queue, "/disagreements"), {**self._parameters(), **changes})

    def file(self, name: str) -> str:
        """The address of the table as a file."""
        return address(queue_path(self.queue, f"/{name}"), {**self._parameters(), "skip": self.skip or None})

    def _parameters(self) -> dict[str, Value]:
        return {"criterion": self.criterion, "window": None if self.window is Window.ALL else self.window.value}

    @property
    def back(self) -> str:
        """The address of the queue's page."""
        return address(queue_path(self.queue), self._parameters())


@dataclass(frozen=True, slots=True)
class DisputedEntry:
    """An item of the list."""

    item: DisputedItem
    href: str
    """Address of the item's page."""
    open: str | None
    """Address in the annotation tool, if a link may have it."""
    input: str | None
    output: str | None


@dataclass(frozen=True, slots=True)
class DisagreementsPage:
    """Content of the page."""

    shell: Shell
    request: DisagreementsRequest
    answer: Disagreements
    items: list[DisputedEntry]
    earlier: str | None
    later: str | None

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each answer, with the names of the HTTP API."""
        return [{**entry.item, **answer} for entry in self.items for answer in entry.item["answers"]]


def disagreements_page(
    services: Services, connection: sqlite3.Connection, entry: QueueEntry, request: DisagreementsRequest
) -> DisagreementsPage | None:
    """The items of a queue on which people disagree in the state that a connection sees; None before the first
    checkpoint.
    """
    surrounding, state = shell(services, connection, entry.queue)
    if not request.criterion:
        document = services.documents.build(connection, entry, state, Window.ALL)
        if document is None:
            return None
        request = replace(request, criterion=first_criterion(document))
    config = services.config
    answer = disagreements(
        connection,
        Scope(entry.queue, request.window, services.today(), config.rules),
        request.criterion,
        skip=request.skip,
        limit=PAGE,
        names=config.show_annotators,
    )
    return DisagreementsPage(
        shell=surrounding,
        request=request,
        answer=answer,
        items=_entries(connection, request.queue, answer["items"], config.rules),
        earlier=request.href(skip=max(0, request.skip - PAGE) or None) if request.skip else None,
        later=None if answer["next"] is None else request.href(skip=answer["next"]),
    )


def _entries(
    connection: sqlite3.Connection, queue: str, disputed: Sequence[DisputedItem], rules: CountingRules
) -> list[DisputedEntry]:
    ids = [id for item in disputed if (id := find_item(connection, queue, item["item"])) is not None]
    choice = RowChoice(
        standing=True,
        most=budgets.ITEM_READ,
        most_bytes=budgets.ANSWER_BYTES // PAGE,
        most_characters=budgets.ITEM_CHARACTERS,
    )
    return [
        DisputedEntry(
            item=item,
            href=item_path(queue, item["item"]),
            open=openable(item["url"]),
            input=item_text(rows, "input"),
            output=item_text(rows, "output"),
        )
        for item, rows in zip(disputed, item_rows(connection, queue, ids, rules, choice), strict=True)
    ]
