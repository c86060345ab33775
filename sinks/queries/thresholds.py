"""Threshold what-if of a criterion and metric."""

import sqlite3

from sinks.queries.results import WhatIf
from sinks.queries.rows import scored
from sinks.queries.scope import Scope
from sinks.queries.what_if_answer import what_if_of


def what_if(connection: sqlite3.Connection, scope: Scope, criterion: str, metric: str, *, cost: float = 1.0) -> WhatIf:
    """Counts at other thresholds. `cost`: false negatives that one false positive is worth, above 0."""
    return what_if_of(scored(connection, scope, criterion, metric), scope, criterion, metric, cost=cost)
