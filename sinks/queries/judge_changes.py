"""Judge versions on the items that several of them judged, and whether a new version agrees better with people."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from aggregator.snapshot.trend import AlignedShare
from aggregator.statistics.error_side import SIGNIFICANCE
from aggregator.statistics.segments import fisher
from aggregator.statistics.versions import VersionChange, VersionCounts, epochs, mcnemar
from sinks.queries.results import Agreed, JudgeChange
from sinks.queries.rows import PEOPLE
from sinks.queries.scope import Scope

_JudgedPair = tuple[str, str, str]
"""A metric and two judge versions of it."""

_SUPERSEDED: Final = """
CROSS JOIN evaluations AS e INDEXED BY evaluations_superseded
    ON e.item_id = p.item_id AND e.failure = 0 AND e.deleted = 0 AND e.current = 0
"""
_SUCCESSORS: Final = f"""
WITH {PEOPLE}
SELECT f.judge, e.metric, count(*)
FROM people AS p {_SUPERSEDED}
CROSS JOIN evaluations AS f INDEXED BY evaluations_current
    ON f.item_id = e.item_id AND f.metric = e.metric AND f.current = 1
WHERE e.judge = :judge
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""
# Of two verdicts on an item one at least is superseded: only those are looked for. Where both are, the pair has a row
# for either order.
_VERSION_PAIRS: Final = f"""
WITH {PEOPLE}
SELECT e.metric, e.judge, f.judge, f.current, count(*),
    sum(e.passed > f.passed AND p.passes > p.fails OR e.passed < f.passed AND p.passes < p.fails),
    sum(e.passed < f.passed AND p.passes > p.fails OR e.passed > f.passed AND p.passes < p.fails)
FROM people AS p {_SUPERSEDED}
CROSS JOIN evaluations AS f ON f.item_id = e.item_id AND f.metric = e.metric AND f.failure = 0 AND f.judge <> e.judge
WHERE f.deleted = 0 AND (e.metric, e.judge, f.judge) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:pairs))
GROUP BY e.metric, e.judge, f.judge, f.current
"""


class VersionPair(NamedTuple):
    """Two judge versions of a metric on the items that both judged."""

    metric: str
    first: str
    second: str
    items: int
    first_only: int
    """Items on which people agree only with the first version."""
    second_only: int
    """Items on which people agree only with the second version."""


def successors(connection: sqlite3.Connection, scope: Scope, criterion: str) -> list[tuple[str, str, int]]:
    """The versions whose verdicts supersede those of the scope's version: version, metric and number of items, most
    items first.
    """
    return connection.execute(_SUCCESSORS, scope.values(criterion)).fetchall()


def version_pairs(
    connection: sqlite3.Connection, scope: Scope, criterion: str, pairs: Sequence[_JudgedPair]
) -> list[VersionPair]:
    """Pairs of judge versions, in the order of `pairs`: each a metric and two versions of it."""
    if not pairs:
        return []
    wanted = {order for metric, first, second in pairs for order in ((metric, first, second), (metric, second, first))}
    values = {**scope.values(criterion), "pairs": orjson.dumps(sorted(wanted)).decode()}
    found: dict[tuple[str, str, str, int], tuple[int, int, int]] = {
        row[:4]: row[4:] for row in connection.execute(_VERSION_PAIRS, values)
    }
    nothing = 0, 0, 0
    answers = []
    for metric, first, second in pairs:
        both_superseded = found.get((metric, first, second, 0), nothing)
        second_current = found.get((metric, first, second, 1), nothing)
        items, only_second, only_first = found.get((metric, second, first, 1), nothing)
        parts = both_superseded, second_current, (items, only_first, only_second)
        answers.append(VersionPair(metric, first, second, *map(sum, zip(*parts, strict=True))))
    return answers


def judge_changes(
    connection: sqlite3.Connection,
    scope: Scope,
    criterion: str,
    changes: Iterable[tuple[str, VersionChange]],
) -> list[JudgeChange]:
    """Changes of metrics from one judge version to the next, each with its test; `changes`: metric and change."""
    listed = list(changes)
    pairs = [(metric, change.before.judge, change.after.judge) for metric, change in listed]
    tests = version_pairs(connection, scope, criterion, pairs)
    return [
        _change(metric, change, pair, scope.rules.limits.items)
        for (metric, change), pair in zip(listed, tests, strict=True)
    ]


def changes_of(judges: Mapping[str, Iterable[VersionCounts]]) -> list[tuple[str, VersionChange]]:
    """The changes of metrics from each version to the next, oldest first."""
    changes = [(metric, change) for metric, versions in judges.items() for change in epochs(versions)]
    return sorted(changes, key=lambda each: (each[1].day, each[0], each[1].after.judge))


def _change(metric: str, change: VersionChange, pair: VersionPair, least: int) -> JudgeChange:
    before, after = _share(change.before), _share(change.after)
    p_value, better = mcnemar(pair.first_only, pair.second_only), pair.second_only > pair.first_only
    # A difference on the same items counts, however few, so that the card of a worse version and this agree. Few
    # items without one show nothing about the others.
    if pair.items < least and p_value >= SIGNIFICANCE:
        p_value, better = fisher(_by_item(after), _by_item(before)), after.alignment > before.alignment
    return JudgeChange(
        day=change.day,
        metric=metric,
        judge=change.after.judge,
        previous=change.before.judge,
        before=agreed(before),
        after=agreed(after),
        p_value=p_value,
        change="unclear" if p_value >= SIGNIFICANCE else "better" if better else "worse",
    )


def _share(version: VersionCounts) -> AlignedShare:
    counts = version.counts
    return AlignedShare(counts.tp + counts.tn, counts.n, counts.items)


def _by_item(share: AlignedShare) -> tuple[int, int]:
    """Aligned and misaligned items: several annotations of an item are one observation."""
    aligned = round(share.alignment * share.items)
    return aligned, share.items - aligned


def agreed(share: AlignedShare) -> Agreed:
    """The share as answers have it."""
    low, high = share.interval
    return Agreed(k=share.k, n=share.n, items=share.items, alignment=share.alignment, low=low, high=high)
