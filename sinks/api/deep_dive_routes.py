"""Routes of the HTTP API to everything that the snapshot document does not contain."""

import sqlite3
from collections.abc import Callable
from typing import Final, get_args

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sinks import budgets
from sinks.api import parameters
from sinks.api.parameters import without_empty
from sinks.api.responses import json_response, serialized
from sinks.api.services import Services
from sinks.queries import deep_dive
from sinks.queries.alternative import alternative_annotator
from sinks.queries.calibration import score_calibration
from sinks.queries.next_items import ITEMS, MOST_ITEMS, MOST_SEED, NextQuery, Strategy, next_items
from sinks.queries.people import annotators, disagreements
from sinks.queries.results import TrendBasis
from sinks.queries.scope import Scope
from sinks.queries.segments import segments
from sinks.queries.side_by_side import JudgedBy, side_by_side
from sinks.queries.thresholds import what_if

SKIP_LIMIT: Final = 1_000_000
"""Most judge versions that a request may skip."""
_Ask = Callable[[sqlite3.Connection, Scope], object]


def deep_dive_routes(services: Services) -> list[Route]:
    """Routes of what the page shows of one criterion beyond its counts, and of the items to label next."""
    api = _DeepDiveApi(services)
    return [
        Route("/api/v1/queues/{queue}/trend", without_empty(api.trend)),
        Route("/api/v1/queues/{queue}/what-if", without_empty(api.what_if)),
        Route("/api/v1/queues/{queue}/calibration", without_empty(api.calibration)),
        Route("/api/v1/queues/{queue}/ceiling", without_empty(api.ceiling)),
        Route("/api/v1/queues/{queue}/alternative-annotator", without_empty(api.alternative_annotator)),
        Route("/api/v1/queues/{queue}/versions", without_empty(api.versions)),
        Route("/api/v1/queues/{queue}/corrected", without_empty(api.corrected)),
        Route("/api/v1/queues/{queue}/side-by-side", without_empty(api.side_by_side)),
        Route("/api/v1/queues/{queue}/segments", without_empty(api.segments)),
        Route("/api/v1/queues/{queue}/next", without_empty(api.next)),
        Route("/api/v1/queues/{queue}/disagreements", without_empty(api.disagreements)),
        Route("/api/v1/queues/{queue}/annotators", without_empty(api.annotators)),
    ]


def next_query(request: Request, criterion: str) -> NextQuery:
    """The choice of items to annotate next, of the API and of the page."""
    return NextQuery(
        criterion=criterion,
        strategy=parameters.member(request, "strategy", Strategy.RANDOM),
        metric=parameters.text(request, "metric"),
        seed=parameters.number(request, "seed", 0, least=0, most=MOST_SEED),
        limit=parameters.number(request, "limit", ITEMS, least=1, most=MOST_ITEMS),
        selection=parameters.selection(request),
    )


class _DeepDiveApi:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def trend(self, request: Request) -> Response:
        criterion, metric = parameters.text(request, "criterion"), parameters.text(request, "metric")
        by = request.query_params.get("by", "annotation")
        if by not in get_args(TrendBasis):
            raise HTTPException(400, f"by: {by!r} is not one of {', '.join(get_args(TrendBasis))}")
        if by == "publication" and metric is not None and criterion is None:
            raise HTTPException(400, "criterion: required with a metric and by=publication")
        if by == "publication" and "judge" in request.query_params:
            raise HTTPException(400, "judge: not counted by publication; use by=annotation")
        skip = parameters.number(request, "skip", 0, least=0, most=SKIP_LIMIT)
        query = deep_dive.trend if by == "annotation" else deep_dive.published
        return await self._answer_of_judge(
            request, lambda connection, scope: query(connection, scope, criterion, metric, skip=skip)
        )

    async def what_if(self, request: Request) -> Response:
        criterion, metric = parameters.needed(request, "criterion"), parameters.needed(request, "metric")
        cost = parameters.positive(request, "cost", 1.0)
        return await self._answer_of_judge(
            request, lambda connection, scope: what_if(connection, scope, criterion, metric, cost=cost)
        )

    async def calibration(self, request: Request) -> Response:
        criterion, metric = parameters.needed(request, "criterion"), parameters.needed(request, "metric")
        return await self._answer_of_judge(
            request, lambda connection, scope: score_calibration(connection, scope, criterion, metric)
        )

    async def ceiling(self, request: Request) -> Response:
        criterion = parameters.needed(request, "criterion")
        return await self._answer(
            request, lambda connection, scope: deep_dive.ceiling(connection, scope, criterion, budgets.HEADROOMS)
        )

    async def alternative_annotator(self, request: Request) -> Response:
        criterion, epsilon = parameters.needed(request, "criterion"), self._services.config.alternative_epsilon
        return await self._answer_of_judge(
            request, lambda connection, scope: alternative_annotator(connection, scope, criterion, epsilon)
        )

    async def versions(self, request: Request) -> Response:
        criterion, metric = parameters.needed(request, "criterion"), parameters.needed(request, "metric")
        skip = parameters.number(request, "skip", 0, least=0, most=SKIP_LIMIT)
        return await self._answer(
            request, lambda connection, scope: deep_dive.versions(connection, scope, criterion, metric, skip=skip)
        )

    async def corrected(self, request: Request) -> Response:
        criterion, metric = parameters.needed(request, "criterion"), parameters.needed(request, "metric")
        skip = parameters.number(request, "skip", 0, least=0, most=SKIP_LIMIT)
        return await self._answer(
            request, lambda connection, scope: deep_dive.corrected(connection, scope, criterion, metric, skip=skip)
        )

    async def side_by_side(self, request: Request) -> Response:
        criterion, metric = parameters.needed(request, "criterion"), parameters.needed(request, "metric")
        first = JudgedBy(metric, parameters.text(request, "judge"))
        second = JudgedBy(parameters.text(request, "other_metric") or metric, parameters.text(request, "other_judge"))
        return await self._answer(
            request, lambda connection, scope: side_by_side(connection, scope, criterion, first, second)
        )

    async def segments(self, request: Request) -> Response:
        criterion, metric = parameters.needed(request, "criterion"), parameters.needed(request, "metric")
        by = parameters.division(request, "by")
        if by == "annotator" and not self._services.config.show_annotators:
            raise HTTPException(403, "by: annotator needs the setting show_annotators")
        return await self._answer_of_judge(
            request, lambda connection, scope: segments(connection, scope, criterion, metric, by)
        )

    async def next(self, request: Request) -> Response:
        query, item_url = next_query(request, parameters.needed(request, "criterion")), self._services.config.item_url
        return await self._answer(request, lambda connection, scope: next_items(connection, scope, query, item_url))

    async def disagreements(self, request: Request) -> Response:
        criterion, names = parameters.needed(request, "criterion"), self._services.config.show_annotators
        skip = parameters.number(request, "skip", 0, least=0, most=SKIP_LIMIT)
        limit = parameters.number(request, "limit", 20, least=1, most=budgets.DISAGREEMENTS)
        return await self._answer(
            request,
            lambda connection, scope: disagreements(connection, scope, criterion, skip=skip, limit=limit, names=names),
        )

    async def annotators(self, request: Request) -> Response:
        criterion = parameters.needed(request, "criterion")
        if not self._services.config.show_annotators:
            raise HTTPException(403, "numbers of single annotators need the setting show_annotators")
        return await self._answer(request, lambda connection, scope: annotators(connection, scope, criterion))

    async def _answer_of_judge(self, request: Request, ask: _Ask) -> Response:
        """The answer of the judge version that the request names, if it does."""
        return await self._answer(request, ask, parameters.text(request, "judge"))

    async def _answer(self, request: Request, ask: _Ask, judge: str | None = None) -> Response:
        services, queue = self._services, parameters.queue_name(request)
        scope = Scope(queue, parameters.window(request), services.today(), services.config.rules, judge)
        return json_response(
            await services.query_queue(queue, serialized(lambda connection, _: ask(connection, scope)))
        )
