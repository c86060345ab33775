"""Rows and counts of any history, by plain loops over its events that share no code with the product."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

Event = Mapping[str, Any]
Key = tuple[str, ...]
Version = tuple[int, str]
Tallies = dict[Key, Any]
_Verdicts = dict[str, dict[str, list[Event]]]

_RATINGS = ("down", "up", "1", "2", "3", "4", "5")
_WORST_FIRST = ("1", "2", "down", "up", "3", "4", "5")


def parse_event(value: bytes | None) -> Event:
    event: dict[str, Any] = orjson.loads(value or b"")
    if isinstance(event["at"], str):
        event["at"] = round(datetime.fromisoformat(event["at"]).timestamp() * 1000)
    return event


def key_of(kind: str, event: Event) -> Key:
    if kind == "e":
        failed = event.get("status", "ok") != "ok" and not event.get("deleted")
        return "x" if failed else "e", event["item"], event["metric"], event.get("judge", "")
    if kind == "q":
        return "q", event["queue"], event["item"]
    return "a", event["queue"], event["item"], event.get("criterion", "overall"), event.get("annotator", "")


def _version(event: Event) -> Version:
    return event["at"], event["id"]


def content(event: Event) -> tuple[Any, ...]:
    """The content of a row, as far as counts depend on it."""
    if event.get("deleted"):
        return *_version(event), "deleted"
    return *_version(event), event.get("thumbs"), event.get("stars"), event.get("status", "ok"), _passed(event)


def _passed(event: Event) -> bool | None:
    if event.get("passed") is not None or "metric" not in event or event.get("status", "ok") != "ok":
        passed: bool | None = event.get("passed")
        return passed
    score, threshold = float(event["score"]), float(event["threshold"])
    return score == threshold or (score < threshold) == (event.get("direction") == "lower")


def merge(rows: dict[Key, Event], key: Key, event: Event) -> None:
    rival = rows.get(key)
    if rival is None or _version(event) > _version(rival):
        rows[key] = event
    elif _version(event) == _version(rival):
        assert content(event) == content(rival), f"the history is ambiguous: {event} and {rival}"


def item_of(key: Key) -> str:
    return key[1] if key[0] in "ex" else key[2]


def known(rows: Mapping[Key, Event]) -> dict[Key, Event]:
    """Rows of items with an annotation or a queue item. Evaluations of all others wait outside of the ledger."""
    items = {item_of(key) for key in rows if key[0] not in "ex"}
    return {key: row for key, row in rows.items() if item_of(key) in items}


# ---- counts


def count(rows: Mapping[Key, Event], policy: str = "each") -> Tallies:
    """Tallies of these rows by group, without empty ones."""
    queues: dict[Key, bool] = {key[1:]: not row.get("deleted") for key, row in rows.items() if key[0] == "q"}
    verdicts: _Verdicts = defaultdict(lambda: defaultdict(list))
    ratings: dict[Key, list[Event]] = defaultdict(list)
    for key, row in rows.items():
        if key[0] in "ex":
            verdicts[key[1]][key[2]].append(row)
        elif key[0] == "a" and not row.get("deleted") and queues.get((key[1], key[2]), True):
            ratings[key[1:4]].append(row)
    counts: Counter[tuple[Any, ...]] = Counter()
    for (queue, item, criterion), given in ratings.items():
        standing = {metric: _latest_first(rows) for metric, rows in verdicts[item].items()}
        newest = None if policy == "each" else _newest(given)
        for rating in given:
            day = _day(rating)
            counts[("annotations", queue, criterion, day), "annotations"] += 1
            if newest is None or newest is rating:
                counts[("annotations", queue, criterion, day), "contributing"] += any(standing.values())
                compared = given if policy == "majority" else [rating]
                level = _RATINGS.index(_median([each.get("thumbs") or str(each["stars"]) for each in compared]))
                counts.update(_compared(level, standing, (queue, criterion, day)))
    for (queue, item), placed in queues.items():
        for metric, of_metric in verdicts[item].items() if placed else ():
            if state := _state(of_metric):
                counts[("evaluations", queue, metric, _day(state[0])), state[1]] += 1
    return _payloads(+counts)


def _newest(given: Sequence[Event]) -> Event:
    """The newest rating; any of those that tie, as they count alike."""
    newest = max(given, key=_version)
    ties = [rating for rating in given if _version(rating) == _version(newest)]
    assert all(content(rating) == content(newest) for rating in ties), f"the history is ambiguous: {ties}"
    return newest


def _median(names: Sequence[str]) -> str:
    """The best rating that more than half of these ratings reach."""
    for name in reversed(_WORST_FIRST):
        reached = sum(_WORST_FIRST.index(each) >= _WORST_FIRST.index(name) for each in names)
        if 2 * reached > len(names):
            return name
    raise AssertionError("no ratings")


def _compared(level: int, standing: Mapping[str, Sequence[Event]], names: Key) -> Iterator[tuple[Any, ...]]:
    """The cells that one rating is counted in: of every metric, and of every judge."""
    queue, criterion, day = names
    for metric, latest_first in standing.items():
        for place, verdict in enumerate(latest_first):
            cell = "superseded" if place else "current", 2 * level + bool(_passed(verdict))
            yield ("cells", queue, criterion, metric, day), verdict.get("judge", ""), *cell


def _latest_first(evaluations: Iterable[Event]) -> list[Event]:
    standing = [row for row in evaluations if row.get("status", "ok") == "ok" and not row.get("deleted")]
    return sorted(standing, key=_version, reverse=True)


def _state(evaluations: Sequence[Event]) -> tuple[Event, str] | None:
    """The state of a metric for an item: its verdict, or the newest failure that its judge did not delete later."""
    if standing := _latest_first(evaluations):
        return standing[0], "pass" if _passed(standing[0]) else "fail"
    deleted = {row.get("judge", ""): _version(row) for row in evaluations if row.get("deleted")}
    failures = [
        row
        for row in evaluations
        if not row.get("deleted") and _version(row) > deleted.get(row.get("judge", ""), (-1, ""))
    ]
    newest = max(failures, key=_version, default=None)
    return None if newest is None else (newest, str(newest["status"]))


def _day(event: Event) -> str:
    return datetime.fromtimestamp(event["at"] // 1000, UTC).date().isoformat()


def _payloads(counts: Mapping[tuple[Any, ...], int]) -> Tallies:
    tallies: Tallies = {}
    for (group, name, *cell), number in counts.items():
        if group[0] == "cells":
            judges = tallies.setdefault(group, {})
            vectors = judges.setdefault(name, {"current": [0] * 14, "superseded": [0] * 14})
            vectors[cell[0]][cell[1]] = number
        else:
            tallies.setdefault(group, {})[name] = number
    return tallies
