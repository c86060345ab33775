"""The page of the items on which people disagree."""

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from aggregator.days import Window
from sinks.api.services import Services
from sinks.page.layout import Shell, shell
from sinks.page.urls import Value, address, openable, queue_path
from sinks.queries.people import Disagreements, DisputedItem, disagreements
from sinks.queries.queues import QueueEntry
from sinks.queries.scope import Scope

PAGE: Final = 20


@dataclass(frozen=True, slots=True)
class DisagreementsRequest:
    """The reader's choice. `page` counts from 1."""

    queue: str
    criterion: str
    window: Window
    page: int

    def href(self, **changes: Value) -> str:
        """The address of this page with changes."""
        return address(queue_path(self.queue, "/disagreements"), {**self._parameters(), **changes})

    def file(self, name: str) -> str:
        """The address of the table as a file."""
        page = None if self.page == 1 else self.page
        return address(queue_path(self.queue, f"/{name}"), {**self._parameters(), "page": page})

    def _parameters(self) -> dict[str, Value]:
        return {"criterion": self.criterion, "window": None if self.window is Window.ALL else self.window.value}

    @property
    def back(self) -> str:
        """The address of the queue's page."""
        return address(queue_path(self.queue), self._parameters())


@dataclass(frozen=True, slots=True)
class DisagreementsPage:
    """Content of the page."""

    shell: Shell
    request: DisagreementsRequest
    answer: Disagreements
    items: list[tuple[DisputedItem, str | None]]
    """Items with the address in the annotation tool, if a link may have it."""
    earlier: str | None
    later: str | None

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each answer, with the names of the HTTP API."""
        return [{**item, **answer} for item, _ in self.items for answer in item["answers"]]


def disagreements_page(
    services: Services, connection: sqlite3.Connection, entry: QueueEntry, request: DisagreementsRequest
) -> DisagreementsPage:
    """The items of a queue on which people disagree, in the state that a connection sees."""
    surrounding, _ = shell(services, connection, entry.queue)
    config, before = services.config, (request.page - 1) * PAGE
    answer = disagreements(
        connection,
        Scope(entry.queue, request.window, services.today(), config.rules),
        request.criterion,
        skip=before,
        limit=PAGE,
        names=config.show_annotators,
    )
    return DisagreementsPage(
        shell=surrounding,
        request=request,
        answer=answer,
        items=[(item, openable(item["url"])) for item in answer["items"]],
        earlier=request.href(page=request.page - 1) if request.page > 1 else None,
        later=request.href(page=request.page + 1) if before + PAGE < answer["total"] else None,
    )
