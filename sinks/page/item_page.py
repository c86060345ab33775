"""The page of one item: what is stated about it, what each statement counts for, and all its rows in order of time."""

import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

from sinks.api.services import Services
from sinks.page.formats import score
from sinks.page.item_entries import ItemEntry, item_entry
from sinks.page.item_place import ItemPlace
from sinks.page.layout import Shell, shell
from sinks.page.urls import item_path, openable
from sinks.page.wording import isolated
from sinks.queries.item_answer import ItemAnnotation, ItemEvaluation, ItemPair, ItemTrace, PairState
from sinks.queries.item_rows import ItemRows
from sinks.queries.item_trace import trace_item


class ItemEvent(NamedTuple):
    """A row of an item, as the newest event of its identity left it."""

    at: int
    id: str
    """Id of the event."""
    kind: str
    who: str
    """Annotator and criterion, or metric and judge version."""
    what: str
    state: str
    """What the row counts for, in words."""


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Content of the page of an item."""

    shell: Shell
    trace: ItemTrace
    entry: ItemEntry
    events: list[ItemEvent]
    path: str
    place: ItemPlace | None = None
    """Its place in a list; None when the reader did not come from one."""

    @property
    def here(self) -> str:
        """Address of the page as the reader opened it."""
        return self.path if self.place is None else self.place.here

    @property
    def counted(self) -> list[ItemPair]:
        """The pairs that give a cell."""
        return [pair for pair in self.trace["pairs"] if pair["outcome"] is not None]

    @property
    def others(self) -> list[ItemPair]:
        """The pairs that give none."""
        return [pair for pair in self.trace["pairs"] if pair["outcome"] is None]

    def file(self, name: str) -> str:
        """The address of a table as a file."""
        return f"{self.path}/{name}"

    @property
    def open(self) -> str | None:
        """Address in the annotation tool, if a link may have it."""
        return openable(self.trace["url"])


def item_page(services: Services, connection: sqlite3.Connection, queue: str, item: str) -> ItemPage | None:
    """The page of an item in the state that a connection sees; None when the queue has no such item."""
    config = services.config
    trace = trace_item(connection, queue, item, config.rules, config.item_url)
    if trace is None:
        return None
    surrounding, _ = shell(services, connection, queue)
    counted = {
        (pair["criterion"], pair["annotator"], pair["metric"])
        for pair in trace["pairs"]
        if pair["state"] is PairState.COUNTED
    }
    rows = _standing(trace)
    return ItemPage(
        shell=surrounding,
        trace=trace,
        entry=item_entry(queue, rows, counted, config.rules, config.item_url, most=None),
        events=_events(trace),
        path=item_path(queue, item),
    )


def _standing(trace: ItemTrace) -> ItemRows:
    judged = {row["metric"] for row in trace["evaluations"] if row["current"]}
    return ItemRows(
        item=trace["item"],
        annotations=[row for row in trace["annotations"] if not row["deleted"]],
        evaluations=[
            row
            for row in trace["evaluations"]
            if row["current"] or (row["status"] != "ok" and not row["deleted"] and row["metric"] not in judged)
        ],
        placement=trace["placement"],
        annotations_left_out=0,
        evaluations_left_out=0,
    )


def _events(trace: ItemTrace) -> list[ItemEvent]:
    events = [
        ItemEvent(
            row["at"], row["id"], "Annotation", _names(row["annotator"] or "unnamed", row["criterion"]), _rating(row),
            "Deleted" if row["deleted"] else "Counted" if row["counted"] else "Not compared",
        )
        for row in trace["annotations"]
    ]  # fmt: skip
    events += [
        ItemEvent(
            row["at"], row["id"], "Evaluation", _names(row["metric"], row["judge"]),
            _verdict(row), _evaluation_state(row),
        )
        for row in trace["evaluations"]
    ]  # fmt: skip
    if (placement := trace["placement"]) is not None:
        state = "Removed" if placement["deleted"] else "In the queue"
        events.append(ItemEvent(placement["at"], placement["id"], "Queue item", _names(trace["queue"]), "", state))
    return sorted(events)


def _names(*names: str) -> str:
    return ", ".join(isolated(name) for name in names if name)


def _rating(row: ItemAnnotation) -> str:
    if row["deleted"]:
        return ""
    rating = f"thumb {row['thumbs']}" if row["stars"] is None else f"{row['stars']} of 5 stars"
    return f"{rating}: {'pass' if row['passes'] else 'fail'}"


def _verdict(row: ItemEvaluation) -> str:
    if row["passed"] is None:
        return ""
    verdict = "pass" if row["passed"] else "fail"
    if row["score"] is None:
        return verdict
    if row["threshold"] is None:
        return f"score {score(row['score'])}: {verdict}"
    sign = "≥" if row["direction"] == "higher" else "≤"
    scores = score(row["score"], row["threshold"]), score(row["threshold"], row["score"])
    return f"score {scores[0]}, threshold {sign} {scores[1]}: {verdict}"


def _evaluation_state(row: ItemEvaluation) -> str:
    if row["deleted"]:
        return "Deleted"
    if row["status"] != "ok":
        return "Error" if row["status"] == "error" else "Skipped"
    return "Current verdict" if row["current"] else "Superseded"
