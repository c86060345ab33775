"""Routes of the page. Content is read in a thread, from one state of the store, and rendered by templates."""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Final

from jinja2 import Environment
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from aggregator.days import DAY_MS
from aggregator.names import in_nfc
from aggregator.snapshot.build import PAIRS
from sinks import budgets
from sinks.access import client_address
from sinks.api import parameters
from sinks.api.deep_dive_routes import SKIP_LIMIT, next_query
from sinks.api.services import Services
from sinks.config import ViewConfig
from sinks.connections import ClientAddresses
from sinks.page import charts, findings, index_page, item_page, items_page, queue_page
from sinks.page.assets import PREFIX, Assets
from sinks.page.badge import MOST_LABEL, BadgeError, BadgeRequest, badge
from sinks.page.chart_files import CHARTS, TABLES, chart_style, table_csv, valid_xml
from sinks.page.deep_dive import AnswerCache, DeepDiveOptions
from sinks.page.disagreements_page import DisagreementsPage, DisagreementsRequest, disagreements_page
from sinks.page.export import csv_lines, export, file_name, json_lines
from sinks.page.item_entries import breakable, folds, marked
from sinks.page.item_page import ItemPage
from sinks.page.item_place import ItemLists, OpenedList
from sinks.page.large_queue import page_in_time
from sinks.page.layout import Shell, shell
from sinks.page.next_page import NextPage, NextRequest, next_csv, next_page
from sinks.page.slow_answers import SlowAnswers
from sinks.page.templating import page_environment
from sinks.page.urls import item_path, queue_path
from sinks.queries.comparisons import ComparisonSort as ItemSort
from sinks.queries.comparisons import Query
from sinks.queries.queues import QueueEntry, read_state
from sinks.queries.search import MOST_CHARACTERS
from sinks.queue_index import QueueSort
from streams.events.reasons import Reason

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content security policy of a page: its own files only, nothing inline."""
FILE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of a file that stands alone: it has its style inside."""
_HEADERS: Final = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
_COMPRESSED: Final = [Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)]
_CHOICES: Final = 200
"""Most metrics that a request may choose."""
_MOST_REVISION: Final = 1 << 62


@cache
def templates() -> Environment:
    """The templates of this release. All are compiled now, so no request waits for that."""
    environment = page_environment()
    environment.filters.update(short=charts.short, twice=lambda names: [(name, name) for name in names])
    environment.filters.update(breakable=breakable, code=_code, folds=folds, marked=marked)
    environment.globals.update(
        queue_path=queue_path,
        item_path=item_path,
        findings_unfolded=findings.FINDINGS_UNFOLDED,
        most_characters=budgets.ITEM_CHARACTERS,
        most_search=MOST_CHARACTERS,
        searched_items=budgets.SEARCHED_ITEMS,
    )
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


def _code(text: str) -> Markup:
    """Text whose parts between backticks are code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(text.split("`"))
    )


class Pages:
    """The page's handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._cache = AnswerCache()
        self._lists = ItemLists(services)
        self._slow: SlowAnswers[queue_page.QueuePage | None] = SlowAnswers()
        self._addresses = ClientAddresses(services.config.proxy_addresses)
        self._assets = Assets()
        self._templates = templates()
        self._context = {
            "asset": self._assets.path,
            "limits": services.config.rules.limits,
            "pass_stars": services.config.rules.pass_stars,
            "version": services.config.version,
        }

    def routes(self) -> list[Route]:
        """Routes of the page."""
        handlers: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._index,
            "/queues.csv": self._queues_csv,
            "/glossary": partial(self._words, "glossary.html"),
            "/statistics": partial(self._words, "statistics.html"),
            "/reasons": self._reasons,
            "/queues/{queue}": self._queue,
            "/queues/{queue}/disagreements": self._disagreements,
            "/queues/{queue}/disagreements.csv": self._disagreements_csv,
            "/queues/{queue}/items": self._items,
            "/queues/{queue}/items/{item}": self._item,
            "/queues/{queue}/items/{item}/pairs.csv": self._pairs_csv,
            "/queues/{queue}/items/{item}/rows.csv": self._rows_csv,
            "/queues/{queue}/items.csv": self._csv,
            "/queues/{queue}/items.jsonl": self._jsonl,
            "/queues/{queue}/files/{name}": self._file,
            "/queues/{queue}/next": self._next,
            "/queues/{queue}/next.csv": self._next_csv,
        }
        return [
            *(Route(path, self._with_errors(handler), middleware=_COMPRESSED) for path, handler in handlers.items()),
            # An error is no page here: a page has the list of queues, and a badge may need no token.
            Route("/queues/{queue}/badge.svg", self._badge),
            Route(PREFIX + "{name}", self._assets.serve, middleware=_COMPRESSED),
        ]

    def _with_errors(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A handler that answers errors as pages."""

        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request)
            except HTTPException as error:
                if error.status_code == 503:
                    # A page would have to wait for its turn too.
                    raise
                return await self.error(error)

        return endpoint

    async def _index(self, request: Request) -> Response:
        return await self._render("index.html", await self._index_page(request))

    async def _queues_csv(self, request: Request) -> Response:
        page = await self._index_page(request)
        return await self._table("queues", page.table)

    async def _index_page(self, request: Request) -> index_page.IndexPage:
        choice = index_page.IndexRequest(
            query=parameters.text(request, "q") or "",
            sort=parameters.member(request, "sort", QueueSort.COMPARISONS),
            page=_page(request),
            empty=parameters.with_empty(request),
        )
        return await self._services.query(
            lambda connection: index_page.index_page(self._services, self._cache, connection, choice)
        )

    async def _queue(self, request: Request) -> Response:
        page = await self._queue_page(request, self._queue_choice(request))
        return await self._render("queue.html", page, windows=queue_page.WINDOW_NAMES)

    def _queue_choice(self, request: Request) -> queue_page.QueueRequest:
        return _queue_choice(request, self._services.config)

    async def _queue_page(self, request: Request, choice: queue_page.QueueRequest) -> queue_page.QueuePage:
        address, is_proxy = self._addresses.client(client_address(request.scope))
        client = None if is_proxy else address
        return await self._services.query_queue(
            choice.queue,
            lambda connection, entry: page_in_time(
                self._services, self._cache, connection, entry, choice, slow=self._slow, client=client
            ),
        )

    async def _file(self, request: Request) -> Response:
        name, _, kind = request.path_params["name"].partition(".")
        page = await self._queue_page(request, replace(self._queue_choice(request), more=True))
        if page.details_follow:
            raise HTTPException(503, "the details of this queue are being computed: retry later", {"Retry-After": "10"})
        headers = {**FILE_HEADERS, "Content-Disposition": f'attachment; filename="{name}.{kind}"'}
        if kind == "svg" and name in CHARTS and CHARTS[name](page):
            drawn = await self._text(
                "chart.svg", page, windows=queue_page.WINDOW_NAMES, chart=name, style=chart_style()
            )
            return Response(valid_xml(drawn), headers=headers, media_type="image/svg+xml")
        if kind == "csv" and name in TABLES and (rows := TABLES[name](page)):
            return await self._table(name, rows)
        raise HTTPException(404, f"file {name}.{kind} not found: this page has no such chart or table")

    async def _items(self, request: Request) -> Response:
        number = _page(request)
        query = replace(_query(request), offset=(number - 1) * items_page.PAGE, limit=items_page.PAGE)
        choice = items_page.ItemsRequest(query=query, page=number)
        page = await self._services.query_queue(
            query.queue,
            lambda connection, entry: items_page.items_page(self._services, self._cache, connection, entry, choice),
        )
        return await self._render(
            "items.html",
            page,
            windows=queue_page.WINDOW_NAMES,
            window_options=_WINDOWS,
            sorts=_SORTS,
            levels=_LEVELS,
        )

    async def _disagreements(self, request: Request) -> Response:
        return await self._render("disagreements.html", await self._disagreements_page(request))

    async def _disagreements_csv(self, request: Request) -> Response:
        page = await self._disagreements_page(request)
        return await self._table("disagreements", page.table)

    async def _disagreements_page(self, request: Request) -> DisagreementsPage:
        choice = DisagreementsRequest(
            queue=parameters.queue_name(request),
            criterion=parameters.text(request, "criterion") or "",
            window=parameters.window(request),
            skip=parameters.number(request, "skip", 0, least=0, most=SKIP_LIMIT),
        )
        return await self._services.query_queue(
            choice.queue, lambda connection, entry: disagreements_page(self._services, connection, entry, choice)
        )

    async def _item(self, request: Request) -> Response:
        return await self._render("item.html", await self._item_page(request, _opened_list(request)))

    async def _pairs_csv(self, request: Request) -> Response:
        page = await self._item_page(request)
        return await self._table("pairs", page.trace["pairs"])

    async def _rows_csv(self, request: Request) -> Response:
        page = await self._item_page(request)
        return await self._table("rows", [event._asdict() for event in page.events])

    async def _item_page(self, request: Request, opened: OpenedList | None = None) -> ItemPage:
        queue, item = parameters.queue_name(request), parameters.item_id(request)

        def find(connection: sqlite3.Connection, entry: QueueEntry) -> ItemPage:
            page = item_page.item_page(self._services, connection, queue, item)
            if page is None:
                raise HTTPException(404, f"item {item!r} not found in queue {queue!r}")
            if opened is None:
                return page
            return replace(page, place=self._lists.place(connection, entry, opened, item))

        return await self._services.query_queue(queue, find)

    async def _csv(self, request: Request) -> Response:
        raw, bom = (request.query_params.get(name) == "1" for name in ("raw", "bom"))
        return await self._export(request, "csv", "text/csv; charset=utf-8", partial(csv_lines, raw=raw, bom=bom))

    async def _jsonl(self, request: Request) -> Response:
        return await self._export(request, "jsonl", "application/x-ndjson", json_lines)

    async def _export(self, request: Request, kind: str, media_type: str, lines: Callable[..., bytes]) -> Response:
        query = _query(request)
        await self._services.query_queue(query.queue, lambda _, entry: entry)
        name = file_name("comparisons", query.queue, self._services.today(), kind)
        headers = {**_HEADERS, "Content-Disposition": f"attachment; {name}"}
        if request.method == "HEAD":
            # Otherwise the rows are read, and thrown away.
            return Response(headers=headers, media_type=media_type)
        return StreamingResponse(export(self._services, query, lines), headers=headers, media_type=media_type)

    async def _badge(self, request: Request) -> Response:
        choice = BadgeRequest(
            queue=parameters.queue_name(request),
            window=parameters.window(request),
            criterion=parameters.text(request, "criterion"),
            metric=parameters.text(request, "metric"),
            label=(request.query_params.get("label") or "")[:MOST_LABEL] or None,
        )
        documents = self._services.documents
        document = await self._services.query_queue(
            choice.queue,
            lambda connection, entry: documents.build(connection, entry, read_state(connection), choice.window),
            self._services.badges,
        )
        try:
            drawn = badge(document, choice, self._services.config.rules.limits)
        except BadgeError as error:
            raise HTTPException(404 if "not found" in str(error) else 400, str(error)) from error
        return Response(drawn, headers={"Cache-Control": "no-cache"}, media_type="image/svg+xml")

    async def _next(self, request: Request) -> Response:
        return await self._render("next.html", await self._next_items(request))

    async def _next_csv(self, request: Request) -> Response:
        page = await self._next_items(request)
        bom = "\ufeff".encode() if request.query_params.get("bom") == "1" else b""
        headers = {**_HEADERS, "Content-Disposition": 'attachment; filename="next.csv"'}
        text = await self._services.requests.run(partial(next_csv, page.answer), begun=True)
        return Response(bom + text, headers=headers, media_type="text/csv; charset=utf-8")

    async def _next_items(self, request: Request) -> NextPage:
        query = next_query(request, parameters.text(request, "criterion") or "")
        choice = NextRequest(queue=parameters.queue_name(request), query=query)
        return await self._services.query_queue(
            choice.queue, lambda connection, entry: next_page(self._services, connection, entry, choice)
        )

    async def _render(self, template: str, page: object, status: int = 200, **more: Any) -> Response:
        return Response(await self._text(template, page, **more), status, _HEADERS, media_type="text/html")

    async def _text(self, template: str, page: object, **more: Any) -> str:
        render = self._templates.get_template(template).render
        return await self._services.requests.run(partial(render, page=page, **self._context, **more), begun=True)

    async def _table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Response:
        """The rows of a table as a file."""
        headers = {**FILE_HEADERS, "Content-Disposition": f'attachment; filename="{name}.csv"'}
        text = await self._services.requests.run(partial(table_csv, rows), begun=True)
        return Response(text, headers=headers, media_type="text/csv")

    async def _words(self, template: str, _request: Request) -> Response:
        return await self._render(template, {"shell": await self._shell()})

    async def _reasons(self, _request: Request) -> Response:
        return await self._render("reasons.html", {"shell": await self._shell(), "reasons": [*Reason]})

    async def error(self, error: HTTPException) -> Response:
        """An error as a page."""
        title = "Page not found" if error.status_code == 404 else HTTPException(error.status_code).detail
        detail = f"{error.detail[:1].upper()}{error.detail[1:]}."
        return await self._render(
            "error.html", {"shell": await self._shell()}, error.status_code, title=title, detail=detail
        )

    async def _shell(self) -> Shell:
        return await self._services.query(lambda connection: shell(self._services, connection)[0])


_SORTS: Final = (
    (ItemSort.DISSENT, "Strongest disagreement"),
    (ItemSort.THRESHOLD, "Closest to the threshold"),
    (ItemSort.NEWEST, "Newest"),
)
_WINDOWS: Final = [(window.value, words.capitalize()) for window, (_, words) in queue_page.WINDOW_NAMES.items()]
_LEVELS: Final = (("trace", "Traces"), ("span", "Spans"), ("thread", "Threads"))


def _queue_choice(request: Request, config: ViewConfig) -> queue_page.QueueRequest:
    judge = parameters.text(request, "judge")
    return queue_page.QueueRequest(
        queue=parameters.queue_name(request),
        criterion=parameters.text(request, "criterion"),
        window=parameters.window(request),
        view="aggregate" if request.query_params.get("view") == "aggregate" else "metrics",
        metrics=[in_nfc(name) for name in request.query_params.getlist("metric")[:_CHOICES]],
        judge=judge,
        live=request.query_params.get("live") != "off",
        options=DeepDiveOptions(
            trend_metric=parameters.text(request, "trend"),
            # Published documents are of all versions.
            published=judge is None and request.query_params.get("by") == "publication",
            metric=parameters.text(request, "depth"),
            cut=_cut(request),
            cost=parameters.positive(request, "cost", 1.0),
            epsilon=config.alternative_epsilon,
            annotators=config.show_annotators,
            next_to=parameters.text(request, "with"),
            segments_by=_division(request, config.show_annotators),
        ),
        more=request.query_params.get("more") == "1",
        start=parameters.number(request, "from", 0, least=0, most=PAIRS),
    )


def _page(request: Request) -> int:
    return parameters.number(request, "page", 1, least=1, most=items_page.MOST_PAGES)


def _division(request: Request, show_annotators: bool) -> str | None:
    by = parameters.division(request, "segments")
    return None if by == "annotator" and not show_annotators else by


def _cut(request: Request) -> int | None:
    # Without a choice the best cut is tried.
    return parameters.number(request, "cut", 0, least=0, most=1_000) if "cut" in request.query_params else None


def _opened_list(request: Request) -> OpenedList | None:
    """The list from which a reader came to an item: its address always has outcomes."""
    if not request.query_params.get("outcome"):
        return None
    return OpenedList(
        choice=items_page.ItemsRequest(query=_query(request)),
        revision=parameters.number(request, "revision", 0, least=0, most=_MOST_REVISION),
        place=parameters.number(request, "place", 0, least=0, most=items_page.MOST_PAGES * items_page.PAGE),
    )


def _query(request: Request) -> Query:
    criterion, metric = parameters.text(request, "criterion"), parameters.text(request, "metric")
    last = parameters.day(request, "to")
    return Query(
        queue=parameters.queue_name(request),
        criterion=criterion,
        metric=metric,
        outcomes=parameters.outcomes(request) or list(items_page.MISALIGNED),
        annotator=parameters.exact(request, "annotator"),
        level=parameters.level(request),
        judge=parameters.text(request, "judge"),
        tag=parameters.tag(request),
        search=parameters.search(request),
        since=parameters.day(request, "from") or 0,
        until=None if last is None else last + DAY_MS,
        # Off-topic comparisons are shown when criterion and metric are both chosen.
        on_topic=criterion is None or metric is None,
        window=parameters.window(request),
        sort=parameters.member(request, "sort", ItemSort.DISSENT),
    )
