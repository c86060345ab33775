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
    client: str | None = None,
) -> QueuePage | None:
    """The page of a queue in the state that a connection sees; None before the first checkpoint.

    Of a very large queue the details, and the whole page of a judge version, may be of an earlier state, or missing:
    the page states it. `client`: who asks for them, as for `SlowAnswers`.
    """
    document = services.documents.build(connection, entry, read_state(connection), request.window)
    large = document is not None and document["cards"]["comparisons"] > budgets.COMPARISONS_AT_ONCE
    if not large or not (request.more or request.judge is not None):
        return queue_page(services, cache, connection, entry, request)
    wanted = replace(request, more=True)

    def build() -> tuple[int, QueuePage | None]:
        with services.store.read() as current:
            found = find_queue(current, request.queue)
            page = None if found is None else queue_page(services, cache, current, found, wanted)
        return 0 if found is None else found.revision, page

    page = slow.get((str(wanted), services.today()), entry.revision, build, _WAIT_SECONDS, client)
    if page is not None and request.judge is not None:
        return page
    light = queue_page(services, cache, connection, entry, replace(request, judge=None, more=False))
    return None if light is None else _with_details(light, page, wanted)


def _with_details(light: QueuePage, page: QueuePage | None, wanted: QueueRequest) -> QueuePage:
    """The page with the details of a page of perhaps an earlier state, or with a note that they follow."""
    light = replace(light, request=replace(light.request, judge=wanted.judge, more=True))
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
