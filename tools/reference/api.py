"""docs/api.md: every route of the view with parameters, an example request and its real response."""

import asyncio
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints, is_typeddict
from urllib.parse import quote

import httpx
import orjson
from starlette.types import ASGIApp, Message

from aggregator.days import Window
from aggregator.snapshot.schema import Cards, SnapshotDocument
from sinks.api.field_docs import field_docs
from sinks.api.openapi import RESPONSES, openapi
from sinks.app import create_app
from sinks.gauges import GaugeCollector
from sinks.snapshots import SnapshotHistory
from sinks.store.store import Store
from tests.support.sample_view import NOW_MS, fill, view_of
from tools.reference.examples import CRITERION, HISTORY, METRIC, QUEUE, facts
from tools.reference.fields import type_text
from tools.reference.markdown import code, document, fenced, section, table

BASE: Final = "http://127.0.0.1:8390"
_GAP: Final = "\N{HORIZONTAL ELLIPSIS}"
"""Stands for what the page leaves out, until the text is made."""
_QUEUE_PATH: Final = f"/api/v1/queues/{quote(QUEUE)}"
_PAIR: Final = f"criterion={CRITERION}&metric={METRIC}"


@dataclass(frozen=True, slots=True)
class Request:
    """An example request of a route."""

    route: str
    target: str
    omit: Sequence[str] = ()
    """Names of arrays and objects in the response that the page leaves out."""
    keep: int | None = None
    """Number of entries of every array that the page shows; None shows all."""


REQUESTS: Final = (
    Request("/api/v1/queues", "/api/v1/queues"),
    Request("/api/v1/queues/{queue}", f"{_QUEUE_PATH}?window=30d", omit=("criteria",)),
    Request("/api/v1/queues/{queue}/comparisons", f"{_QUEUE_PATH}/comparisons?outcome=fp,fn&limit=1"),
    Request("/api/v1/queues/{queue}/items/{item}", f"{_QUEUE_PATH}/items/trace-3", keep=1),
    Request("/api/v1/queues/{queue}/history", f"{_QUEUE_PATH}/history?limit=1", omit=("cards", "criteria")),
    Request("/api/v1/queues/{queue}/trend", f"{_QUEUE_PATH}/trend?{_PAIR}", keep=1),
    Request("/api/v1/queues/{queue}/what-if", f"{_QUEUE_PATH}/what-if?{_PAIR}", keep=1),
    Request("/api/v1/queues/{queue}/calibration", f"{_QUEUE_PATH}/calibration?{_PAIR}", keep=1),
    Request("/api/v1/queues/{queue}/ceiling", f"{_QUEUE_PATH}/ceiling?criterion={CRITERION}"),
    Request(
        "/api/v1/queues/{queue}/alternative-annotator", f"{_QUEUE_PATH}/alternative-annotator?criterion={CRITERION}"
    ),
    Request("/api/v1/queues/{queue}/versions", f"{_QUEUE_PATH}/versions?{_PAIR}", keep=1),
    Request("/api/v1/queues/{queue}/corrected", f"{_QUEUE_PATH}/corrected?{_PAIR}"),
    Request("/api/v1/queues/{queue}/side-by-side", f"{_QUEUE_PATH}/side-by-side?{_PAIR}&other_metric=relevancy"),
    Request("/api/v1/queues/{queue}/segments", f"{_QUEUE_PATH}/segments?{_PAIR}&by=level"),
    Request(
        "/api/v1/queues/{queue}/disagreements", f"{_QUEUE_PATH}/disagreements?criterion={CRITERION}&limit=1", keep=2
    ),
    Request("/api/v1/queues/{queue}/annotators", f"{_QUEUE_PATH}/annotators?criterion={CRITERION}", keep=1),
    Request("/api/v1/queues/{queue}/next", f"{_QUEUE_PATH}/next?criterion={CRITERION}&limit=2"),
    Request("/api/v1/positions", "/api/v1/positions"),
    Request("/api/v1/stream", f"/api/v1/stream?queue={quote(QUEUE)}", omit=("cards", "criteria", "positions")),
    Request("/metrics", "/metrics"),
    Request("/healthz", "/healthz"),
    Request("/readyz", "/readyz"),
    Request("/openapi.json", "/openapi.json", omit=("info", "paths", "components", "security")),
)
"""One example of every route, in the order of the page."""

_DOCUMENT_TYPES: Final = {SnapshotDocument: "snapshot.md", Cards: "snapshot.md#cards"}
"""Types that another page describes."""

_ERRORS: Final = (
    f"{_QUEUE_PATH}?window=1y",
    "/api/v1/queues/unknown",
)


def page() -> str:
    """The page."""
    paths = openapi("")["paths"]
    responses = asyncio.run(_ask(sorted({request.target for request in REQUESTS} | set(_ERRORS))))
    return document(
        "HTTP API",
        f"The view serves the API, the page and `/metrics` at the address of the setting `http` (`{BASE}` by default). "
        "It only reads: every route is GET (HEAD works too), and events come in through [Kafka](events.md). Every "
        "response is a consistent snapshot. The OpenAPI 3.1 document with the types of all responses is at "
        f"[`/openapi.json`]({BASE}/openapi.json).",
        table(("route", "response"), ((_link(route), paths[route]["get"]["summary"]) for route in paths)),
        section(
            "Access",
            "A view that listens on other addresses than loopback needs a token (setting `token_file`). Clients send "
            "it as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic with any user name. `/healthz` and "
            "`/readyz` need no token. The `Host` header must be a loopback name or in the setting `allowed_hosts`.",
        ),
        section(
            "Conventions",
            "- Names in a path are percent-encoded: a queue `a/b` is `a%2Fb`. The names `.` and `..` are written `~.` "
            "and `~..`.\n"
            "- `window` is the span of UTC days up to today: " + code(window.value for window in Window) + ".\n"
            "- Null means undefined; the object's `undefined` has the field and the [reason]"
            "(statistics.md#undefined-numbers).\n"
            "- Lists have `next`, the `cursor` of the following page, or null at the end.\n"
            "- A list ends early when its entries have about a megabyte: it may have fewer of them than `limit`.\n"
            "- A parameter without a value (`limit=`) is an error: leave it out for its default.\n"
            "- 503 with `Retry-After`: too many requests wait for their turn.",
        ),
        *(_route(request, paths[request.route]["get"], responses[request.target]) for request in REQUESTS),
        section(
            "Errors",
            "Errors are `application/problem+json` (RFC 9457) with the cause in `detail`.",
            *(
                f"`GET {target}` returns {response.status_code}:\n\n{fenced('json', _pretty(response.json()))}"
                for target in _ERRORS
                for response in (responses[target],)
            ),
            "Any other method than GET and HEAD is 405, a host name that is not allowed is 400.",
        ),
        section("Response types", *map(_type, _types(RESPONSES))),
        see_also=(
            "[Snapshot document](snapshot.md)",
            "[Statistics](statistics.md)",
            "[Metrics](metrics.md)",
            "[Security](security.md)",
        ),
    )


def _link(route: str) -> str:
    """The route as a link to its section, with the anchor that GitHub derives from the heading."""
    heading = f"GET {route}".lower().replace(" ", "-")
    return f"[`{route}`](#{''.join(letter for letter in heading if letter.isalnum() or letter in '-_')})"


def _route(request: Request, operation: Mapping[str, Any], response: httpx.Response) -> str:
    parts = [operation["summary"]]
    if operation["parameters"]:
        parts.append(
            table(("parameter", "in", "values", "default", "meaning"), map(_parameter, operation["parameters"]))
        )
    if (of := _response_type(operation)) is not None:
        parts.append(f"Response: {_link_to_type(of)}.")
    errors = [status for status in operation["responses"] if status != "200"]
    if errors:
        parts.append("Errors: " + code(errors) + ".")
    parts += [fenced("console", f"curl '{BASE}{request.target}'"), _body(request, response)]
    return section(f"`GET {request.route}`", *parts)


def _response_type(operation: Mapping[str, Any]) -> type | None:
    (content,) = operation["responses"]["200"]["content"].values()
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    return next((of for of in RESPONSES if of.__name__ == name), None)


def _link_to_type(of: type) -> str:
    if of.__doc__ is None:
        return f"object of {code(get_type_hints(of))}"
    return f"[{of.__name__}]({_DOCUMENT_TYPES.get(of, f'#{of.__name__.lower()}')})"


def _types(annotations: Iterable[Any]) -> list[type]:
    """Every documented type in these, without those of other pages, in the order of their first use."""
    ordered: dict[type, None] = {}
    for annotation in annotations:
        ordered.update(dict.fromkeys(_types(get_args(annotation))))
        if is_typeddict(annotation) and annotation.__doc__ is not None and annotation not in _DOCUMENT_TYPES:
            ordered.update(dict.fromkeys((annotation, *_types(get_type_hints(annotation).values()))))
    return list(ordered)


def _type(of: type) -> str:
    documented = field_docs(of)
    rows = [
        (f"`{name}`", type_text(annotation, _link_to_type), documented.get(name, ""))
        for name, annotation in get_type_hints(of).items()
    ]
    first, _, rest = cleandoc(of.__doc__ or "").partition("\n\n")
    introduction = " ".join((first + " " + rest).split())
    return section(of.__name__, introduction, table(("field", "type", "meaning"), rows), level=3)


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    schema = parameter["schema"]
    if "enum" in schema:
        values = code(schema["enum"])
    elif "anyOf" in schema:
        values = ", ".join(form.get("format", form["type"]) for form in schema["anyOf"])
    elif "maximum" in schema:
        values = f"{schema['minimum']} to {schema['maximum']}"
    else:
        values = "number above 0" if schema["type"] == "number" else schema["type"]
    default = "**required**" if parameter["required"] else f"`{schema['default']}`" if "default" in schema else ""
    return f"`{parameter['name']}`", parameter["in"], values, default, parameter["description"]


def _body(request: Request, response: httpx.Response) -> str:
    if request.route == "/metrics":
        return fenced("text", "\n".join([*response.text.splitlines()[:8], "..."]))
    if request.route == "/api/v1/stream":
        *head, data = response.text.strip().split("\n")
        body = orjson.dumps(_shortened(orjson.loads(data.removeprefix("data: ")), request)).decode()
        return fenced("text", "\n".join([*head, f"data: {body}".replace(f'"{_GAP}"', "...")]))
    text = _pretty(_shortened(response.json(), request))
    return fenced("js" if _GAP in text else "json", text.replace(f'"{_GAP}"', "..."))


def _shortened(value: Any, request: Request) -> Any:
    if isinstance(value, dict):
        return {name: _GAP if name in request.omit else _shortened(part, request) for name, part in value.items()}
    if isinstance(value, list):
        kept = [_shortened(part, request) for part in value[: request.keep]]
        return [*kept, _GAP] if len(kept) < len(value) else kept
    return value


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


async def _ask(targets: Sequence[str]) -> dict[str, httpx.Response]:
    """The responses of a view of `HISTORY` by target."""
    with tempfile.TemporaryDirectory() as directory, closing(Store(Path(directory) / "view.sqlite3")) as store:
        fill(store, facts(HISTORY))
        view = view_of(store, Path(directory))
        view.config = replace(view.config, show_annotators=True)
        view.gauges = GaugeCollector(store, view.documents, view.config.series_limit).collect(view.today())
        current = view.documents.get(QUEUE, Window.ALL)
        assert current is not None, "the history is in the store"
        SnapshotHistory(store, count=1, days=1).add([current], NOW_MS)
        app = create_app(view)
        responses = {}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
            for target in targets:
                ask = _first_event(app, target) if target.startswith("/api/v1/stream") else client.get(target)
                responses[target] = await ask
        return responses


async def _first_event(app: ASGIApp, target: str) -> httpx.Response:
    """The first event of a stream, which goes on for as long as the client reads."""
    path, _, query = target.partition("?")
    first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def receive() -> Message:
        await first
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message.get("body") and not first.done():
            first.set_result(message["body"])

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
    }
    await app(scope, receive, send)
    return httpx.Response(200, content=await first)
