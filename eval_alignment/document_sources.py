"""Sources of a queue's documents for commands, and the names that a command may ask them for."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

import click

from aggregator.days import Window
from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import CriterionDocument, SnapshotDocument
from eval_alignment import settings, wiring
from eval_alignment.ci_gate import GateRequest, missing_names
from eval_alignment.insights import ViewInsights
from eval_alignment.setting_checks import address
from eval_alignment.terminal_text import printable
from eval_alignment.unknown_names import UnknownNameError, not_found
from eval_alignment.view_client import QueueNotFoundError, UnreachableError, View, open_view
from sinks.api.responses import QueueListing
from sinks.queries.results import Insights, WaitingTotals

OnWaiting = Callable[[WaitingTotals], object]
"""Takes what waits for an annotation, where a source reports it."""


def ignore_waiting(_: WaitingTotals) -> None:
    """Take what waits, and do nothing with it."""


class DocumentSource(Protocol):
    """A source of documents. Its methods raise UnreachableError, for an unknown queue QueueNotFoundError."""

    @property
    def rules(self) -> CountingRules:
        """The rules of this machine's settings; a document has the pass mark that it was counted by."""

    @property
    def origins(self) -> Sequence[str]:
        """Where the documents come from: an address, or names of files."""

    def document(self, queue: str, window: str) -> SnapshotDocument:
        """The document of a queue."""

    def listing(self, on_waiting: OnWaiting = ...) -> list[QueueListing]:
        """The queues in which anything stands."""

    def ready(self) -> bool:
        """Whether what is not found does not exist."""

    def insights(self, document: SnapshotDocument, criterion: CriterionDocument) -> Insights:
        """What the document of a queue does not have of a criterion."""


@dataclass(frozen=True, slots=True)
class ServedDocuments:
    """Documents from a view."""

    view: View
    rules: CountingRules
    """Of this machine's settings."""

    @property
    def origins(self) -> Sequence[str]:
        """The address of the view."""
        return [self.view.url]

    def document(self, queue: str, window: str) -> SnapshotDocument:
        """The document of a queue."""
        return self.view.document(queue, window)

    def listing(self, on_waiting: OnWaiting = ignore_waiting) -> list[QueueListing]:
        """The queues in which anything stands. Queues that cannot be shown are named on standard error."""
        return list(self.view.queues(_report_failed, on_waiting))

    def ready(self) -> bool:
        """Whether the view has read the topics to their end since it started."""
        return self.view.ready()

    def insights(self, document: SnapshotDocument, criterion: CriterionDocument) -> Insights:
        """What the document of a queue does not have of a criterion."""
        return ViewInsights(self.view).insights(document, criterion)


def _report_failed(queue: str) -> None:
    click.echo(f"queue {queue!r} cannot be shown: its numbers are invalid, the view's log has the reason", err=True)


@contextmanager
def open_served(url: str | None, token_file: Path | None) -> Iterator[ServedDocuments]:
    """The documents of the view at an address; None is that of the setting `http`. Raises UnreachableError."""
    chosen = settings.load(token_file=token_file)
    with open_view(url or _local_url(chosen.http), chosen.token_file) as view:
        yield ServedDocuments(view, wiring.counting_rules(chosen))


def _local_url(http: str) -> str:
    """The address at which this machine reaches a server that listens on `http` (`host:port`)."""
    host, port = address(http)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def document_of(source: DocumentSource, queue: str, window: str) -> SnapshotDocument:
    """The document of a queue. Raises UnknownNameError when the source has read all events without the queue."""
    try:
        return source.document(queue, window)
    except QueueNotFoundError:
        # The order matters: what is listed after the source was ready is complete.
        if not source.ready():
            raise
        queues = [entry["queue"] for entry in source.listing()]
        if queue in queues:
            raise
        raise UnknownNameError(not_found("queue", queue, queues)) from None


def require_names(source: DocumentSource, document: SnapshotDocument, request: GateRequest) -> None:
    """Raise UnknownNameError for a criterion or metric that the queue does not have in any window."""
    message = missing_names(document, request)
    if message is None:
        return
    if not source.ready():
        raise UnreachableError(f"{message}; the view has not read all events yet, try again later")
    message = missing_names(source.document(document["queue"], Window.ALL), request)
    if message is not None:
        raise UnknownNameError(f"queue '{printable(document['queue'])}': {message}")


@overload
def stored_name(text: str) -> str: ...
@overload
def stored_name(text: None) -> None: ...
def stored_name(text: str | None) -> str | None:
    """A name in the form in which it is stored."""
    return None if text is None else unicodedata.normalize("NFC", text)
