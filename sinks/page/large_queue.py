"""The page of a very large queue: its details are computed apart, and the page shows those that are ready."""

import sqlite3
from dataclasses import replace
from typing import Final

from sinks import budgets
from sinks.api.services import Services
from sinks.page.deep_dive import AnswerCache
from sinks.page.queue_page import QueuePage, QueueRequest, queue_page
from sinks.page.slow_answers import SlowAnswers
from sinks.queries.queues import QueueEntry, find_queue, read_state

_WAIT_SECONDS: Final = 1.0
"""How long a request waits for details that were never computed."""


def page_in_time(
    services: Services,
    cache: AnswerCache,
    connection: sqlite3.Connection,
    entry: QueueEntry,
    request: QueueRequest,
    *,
    slow: SlowAnswers[QueuePage | None],
) -> QueuePage | None:
    """The page of a queue in the state that a connection sees; None before the first checkpoint.

    The details of a very large queue may be of an earlier state, or missing: the page states it.
    """
    document = services.documents.build(connection, entry, read_state(connection), request.window)
    if not request.more or document is None or document["cards"]["comparisons"] <= budgets.COMPARISONS_AT_ONCE:
        return queue_page(services, cache, connection, entry, request)

    def build() -> tuple[int, QueuePage | None]:
        with services.store.read() as current:
            found = find_queue(current, request.queue)
            page = None if found is None else queue_page(services, cache, current, found, request)
        return 0 if found is None else found.revision, page

    page = slow.get((str(request), services.today()), entry.revision, build, _WAIT_SECONDS)
    light = queue_page(services, cache, connection, entry, replace(request, more=False))
    if light is None:
        return None
    light = replace(light, request=replace(light.request, more=True))
    if page is None:
        return replace(light, details_follow=True)
    now = page.document["revision"] == light.document["revision"]
    return replace(
        light,
        findings=page.findings if now else light.findings,
        advice=page.advice if now else light.advice,
        advice_follows=light.advice_follows and not now,
        deep_dive=page.deep_dive,
        side_by_side=page.side_by_side,
        segments=page.segments,
        scale_warnings=page.scale_warnings,
        details_of=None if now else page.shell.as_of_text,
    )
