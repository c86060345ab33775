"""What every query over rows binds: a queue, a window, a judge version, and the rules by which its rows count."""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

from dataclasses import dataclass
from datetime import date
from typing import Final

import orjson

from aggregator.days import DAY_MS, Window, day_number, window_start
from aggregator.snapshot.inputs import CountingRules

RATING: Final = "CASE a.thumbs WHEN 'down' THEN 0 WHEN 'up' THEN 1 ELSE a.stars + 1 END"
"""SQL: the rating of annotation `a`, an index in `ratings.LEVELS`; NULL when it is deleted."""
RANK: Final = "CASE a.thumbs WHEN 'down' THEN 2 WHEN 'up' THEN 3 ELSE a.stars - 1 + 2 * (a.stars > 2) END"
"""SQL: its place in `ratings.ORDER`."""

OWN_PASS: Final = "(a.thumbs IS 'up' OR ifnull(a.stars, 0) >= :pass_stars)"
"""SQL: whether the own rating of annotation `a` passes its item. `:pass_stars` is the limit of its criterion."""

HUMAN_PASS: Final = f"""(
    CASE WHEN a.median IS NULL THEN {OWN_PASS} ELSE a.median = 1 OR a.median > :pass_stars END)
"""
"""SQL: the same of the rating that `a` is compared with: under the policy `majority` it is the median of its group."""

ON_TOPIC: Final = """(
    a.criterion NOT IN (SELECT value FROM json_each(:limited_criteria)) OR (a.criterion, e.metric) IN (
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:topic_pairs)))
"""
"""SQL: whether the setting `criterion_metrics` compares the criterion of annotation `a` with the metric of evaluation
`e`.
"""

TAGGED_ITEM: Final = "(SELECT i.id FROM queue_items AS i WHERE i.queue = a.queue AND i.item_id = a.item_id)"
"""SQL: the row of the queue item of annotation `a`."""


def _tag_of(table: str, row: str) -> str:
    return f"""(
    SELECT t.value FROM {table} AS x INDEXED BY {table}_tags CROSS JOIN json_each(x.tags) AS t
    WHERE x.id = {row} AND x.tags IS NOT NULL AND t.key = :tag)"""


TAG_VALUE: Final = (
    f"coalesce({_tag_of('annotations', 'a.id')}, {_tag_of('queue_items', TAGGED_ITEM)}, "
    f"{_tag_of('evaluations', 'e.id')})"
)
"""SQL: the value of a tag of annotation `a`, else of the queue item, else of evaluation `e`."""

OF_JUDGE: Final = "(:judge IS NULL OR e.judge = :judge)"
"""SQL: whether the scope counts the verdicts of the judge version of evaluation `e`."""

Values = dict[str, str | int | None]
"""Named values of an SQL statement."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A queue in a window, and the rules by which its rows count."""

    queue: str
    window: Window
    today: date
    """UTC day on which the window ends."""
    rules: CountingRules
    judge: str | None = None
    """Judge version whose current verdicts alone are compared; None for those of all versions."""

    @property
    def first_day(self) -> str:
        """The window's first day as ISO text; empty when the window has no start."""
        return window_start(self.window, self.today)

    @property
    def start(self) -> int:
        """The window's first millisecond since epoch."""
        return day_number(self.first_day) * DAY_MS if self.first_day else 0

    def values(self, criterion: str | None = None, metric: str | None = None) -> Values:
        """The values that every query over rows binds."""
        return {
            "queue": self.queue,
            "criterion": criterion,
            "metric": metric,
            "start": self.start,
            "judge": self.judge,
            "pass_stars": self.rules.pass_stars if criterion is None else self.rules.pass_limit(criterion),
        }

    def topic_values(self) -> Values:
        """The values that `ON_TOPIC` binds."""
        limited = self.rules.criterion_metrics
        pairs = [(criterion, metric) for criterion, metrics in limited.items() for metric in metrics]
        return {
            "limited_criteria": orjson.dumps(list(limited)).decode(),
            "topic_pairs": orjson.dumps(pairs).decode(),
        }
