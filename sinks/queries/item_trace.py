"""Why an item is counted as it is: its rows, and the cell of every annotation with every evaluation.

The store keeps the newest row of every annotator, and of every judge version its newest verdict and its newest failure.
What a correction replaced is not kept, and a deleted row has no content. Evaluations of an item that no annotation and
no queue item names wait in the workers, and events that were rejected are in the dead-letter topic.
"""

import sqlite3
from itertools import islice

from aggregator.days import timestamp
from aggregator.snapshot.inputs import CountingRules
from sinks import budgets
from sinks.queries.item_answer import ItemTrace
from sinks.queries.item_rows import RowChoice, find_item, item_level, item_pairs, item_rows, item_tags, item_text
from sinks.queries.item_urls import item_address
from sinks.queries.queues import read_state


def trace_item(
    connection: sqlite3.Connection, queue: str, item: str, rules: CountingRules, item_url: str
) -> ItemTrace | None:
    """The trace of an item in the state that a connection sees; None when no row of the queue names it."""
    number = find_item(connection, queue, item)
    if number is None:
        return None
    choice = RowChoice(most=budgets.ITEM_READ, most_bytes=budgets.ANSWER_BYTES // 2)
    (rows,) = item_rows(connection, queue, [number], rules, choice)
    state = read_state(connection)
    pairs = len(rows["annotations"]) * len(rows["evaluations"])
    listed = budgets.fitting(islice(item_pairs(rows, rules), budgets.ITEM_PAIRS), budgets.ANSWER_BYTES // 2)
    return ItemTrace(
        queue=queue,
        item=item,
        as_of=None if state.as_of is None else timestamp(state.as_of),
        policy=state.policy,
        pass_stars=rules.pass_stars,
        url=item_address(item_text(rows, "url"), item_url, item, item_level(rows)),
        input=item_text(rows, "input"),
        output=item_text(rows, "output"),
        tags=item_tags(rows),
        placement=rows["placement"],
        annotations=rows["annotations"],
        evaluations=rows["evaluations"],
        pairs=listed,
        annotations_left_out=rows["annotations_left_out"],
        evaluations_left_out=rows["evaluations_left_out"],
        pairs_left_out=pairs - len(listed),
    )
