"""The HTTP API, through HTTP requests."""

from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from aggregator.days import Window
from aggregator.recount import Recount
from aggregator.statistics.confusion import OUTCOMES
from sinks.api.routes import api_routes
from sinks.api.services import Services
from sinks.app import create_app
from sinks.queries.comparisons import CursorError, _parse
from sinks.queries.queues import read_state, source_positions
from sinks.snapshots import SnapshotHistory
from sinks.store.store import Store
from tests.support.sample_view import FACTS, HOSTILE, NOW_MS, fill, view_of


def path(queue: str, rest: str = "") -> str:
    return f"/api/v1/queues/{quote(queue, safe='')}{rest}"


def connected(services: Services) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(services)), base_url="http://localhost")


async def test_a_queue_is_its_snapshot_document(client: httpx.AsyncClient) -> None:
    answer = await client.get(path("support"))
    assert answer.status_code == 200
    body, expected = answer.json(), Recount(FACTS).document("support")
    assert (body["cards"], body["criteria"]) == (expected["cards"], expected["criteria"])
    assert (body["as_of"], body["revision"], body["ledger"]) == ("2026-11-24T12:00:00.000Z", 1, "first")
    assert body["positions"] == {"0": len(FACTS) + 1}


async def test_a_window_leaves_older_days_out(client: httpx.AsyncClient) -> None:
    criteria = {}
    for window in Window:
        body = (await client.get(path("support", f"?window={window}"))).json()
        criteria[window] = {criterion["criterion"] for criterion in body["criteria"]}
    assert criteria == {
        Window.DAYS_7: {"overall"},
        Window.DAYS_30: {"overall"},
        Window.DAYS_90: {"overall", "tone"},
        Window.ALL: {"overall", "tone"},
    }


async def test_names_may_hold_anything_printable(client: httpx.AsyncClient) -> None:
    answer = await client.get(path(HOSTILE))
    assert answer.json()["queue"] == HOSTILE
    rest = await client.get(path(HOSTILE, "/comparisons"))
    assert [row["item"] for row in rest.json()["comparisons"]] == ["i1"]


async def test_names_are_found_in_either_unicode_form(client: httpx.AsyncClient) -> None:
    assert (await client.get(path(normalize("NFD", HOSTILE)))).json()["queue"] == HOSTILE


async def test_an_address_is_not_normalised_where_it_cannot_be_a_name(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def watched(form: Literal["NFC"], text: str) -> str:
        seen.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr("aggregator.names.unicodedata.normalize", watched)
    marks = "\u0315\u0327" * 1_000
    for address in (
        path(marks),
        f"{path(HOSTILE)}/comparisons?metric={marks}",
        f"/queues/{quote(HOSTILE, safe='')}?metric={marks}",
    ):
        await client.get(address)
    assert seen
    assert max(seen) <= 512


async def test_the_list_pages_in_the_order_of_appearance(client: httpx.AsyncClient) -> None:
    first = (await client.get("/api/v1/queues?limit=1")).json()
    second = (await client.get(f"/api/v1/queues?limit=1&cursor={first['next']}")).json()
    names = [entry["queue"] for page in (first, second) for entry in page["queues"]]
    assert sorted(names) == sorted([HOSTILE, "support"])
    urls = {entry["queue"]: entry["url"] for page in (first, second) for entry in page["queues"]}
    assert urls["support"] == "https://t.test/q/support"
    assert urls[HOSTILE] == f"https://t.test/q/{quote(HOSTILE, safe='')}"
    assert second["next"] is None
    assert (first["as_of"], first["stale"], first["ready"]) == ("2026-11-24T12:00:00.000Z", False, True)


async def test_positions_are_those_of_the_stored_checkpoint(client: httpx.AsyncClient, services: Services) -> None:
    body = (await client.get("/api/v1/positions")).json()
    with services.store.read() as connection:
        state, sources = read_state(connection), source_positions(connection)
    assert (body["ledger"], body["positions"]) == ("first", {"0": len(FACTS) + 1})
    assert body["positions"] == {str(partition): position for partition, position in state.positions.items()}
    assert sources
    assert body["sources"] == [
        {"topic": topic, "partition": partition, **sources[topic, partition]} for topic, partition in sorted(sources)
    ]


async def test_a_view_without_a_checkpoint_has_no_positions(store: Store, tmp_path: Path) -> None:
    async with connected(view_of(store, tmp_path)) as client:
        body = (await client.get("/api/v1/positions")).json()
    assert body == {"ledger": "", "positions": {}, "sources": []}


async def test_an_old_state_is_marked_stale(services: Services) -> None:
    services.now = lambda: NOW_MS / 1000 + 15.1
    async with connected(services) as client:
        assert (await client.get("/api/v1/queues")).json()["stale"] is True
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["stale"]) == (200, True)


async def test_a_view_that_has_not_caught_up_is_not_ready_and_serves(services: Services) -> None:
    services.ready = lambda: False
    async with connected(services) as client:
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get(path("support"))).status_code == 200


# ---- comparisons


async def test_comparisons_show_annotation_and_evaluation(client: httpx.AsyncClient) -> None:
    rows = (await client.get(path("support", "/comparisons"))).json()["comparisons"]
    assert [(row["item"], row["annotator"], row["outcome"]) for row in rows] == [
        ("i1", "ann", "fp"),
        ("i2", "bob", "tn"),
        ("i2", "", "fn"),
        ("i3", "", "tp"),
    ]
    assert rows[0] == {
        "item": "i1", "level": "trace", "criterion": "overall", "annotator": "ann",
        "annotated_at": NOW_MS - 3_600_000, "thumbs": None, "stars": 2, "explanation": "rude", "expected": None,
        "metric": "relevance", "evaluated_at": NOW_MS - 5, "judge": "", "score": 0.9, "threshold": 0.5,
        "direction": "higher", "passed": True, "reason": None, "outcome": "fp",
        "url": "https://t.test/trace/i1", "input": None, "output": None, "tags": {},
    }  # fmt: skip
    assert (rows[2]["url"], rows[2]["judge"], rows[2]["reason"]) == ("https://x.test/2", "v2", "no")


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("outcome=fp,fn", ["i1", "i2"]),
        ("outcome=tp", ["i3"]),
        ("criterion=tone", ["i3"]),
        ("metric=toxicity", []),
        ("window=7d", ["i1", "i2", "i2"]),
    ],
)
async def test_comparisons_are_filtered(client: httpx.AsyncClient, query: str, items: list[str]) -> None:
    rows = (await client.get(path("support", f"/comparisons?{query}"))).json()["comparisons"]
    assert [row["item"] for row in rows] == items


async def test_pages_give_every_comparison_once(client: httpx.AsyncClient) -> None:
    whole = (await client.get(path("support", "/comparisons"))).json()["comparisons"]
    paged, cursor = [], ""
    while True:
        page = (await client.get(path("support", f"/comparisons?limit=1{cursor}"))).json()
        paged += page["comparisons"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert paged == whole


async def test_comparisons_are_as_many_as_the_document_counts(client: httpx.AsyncClient) -> None:
    document = (await client.get(path("support"))).json()
    for outcome in OUTCOMES:
        rows = (await client.get(path("support", f"/comparisons?outcome={outcome}"))).json()["comparisons"]
        counted = sum(metric[outcome] for criterion in document["criteria"] for metric in criterion["metrics"])
        assert len(rows) == counted


# ---- history


async def test_history_gives_what_was_kept_in_a_span(client: httpx.AsyncClient, services: Services) -> None:
    for number, facts in enumerate((FACTS[:4], FACTS), start=1):
        fill(services.store, facts)
        document = services.documents.get("support")
        assert document is not None
        document["cards"]["comparisons"] = number
        SnapshotHistory(services.store, 1_000, 90).add([document], NOW_MS + number)
    body = (await client.get(path("support", "/history"))).json()
    assert [entry["at"] for entry in body["snapshots"]] == ["2026-11-24T12:00:00.002Z", "2026-11-24T12:00:00.001Z"]
    early = (await client.get(path("support", f"/history?from=2026-11-24T12:00:00Z&to={NOW_MS + 2}"))).json()
    assert [entry["document"]["cards"]["comparisons"] for entry in early["snapshots"]] == [1]
    page = (await client.get(path("support", "/history?limit=1"))).json()
    rest = (await client.get(path("support", f"/history?limit=1&to={page['next']}"))).json()
    assert [entry["document"]["cards"]["comparisons"] for entry in rest["snapshots"]] == [1]


async def test_pages_of_large_entries_end_early(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.budgets.ANSWER_BYTES", 1)
    fill(services.store, FACTS)
    document = services.documents.get("support")
    assert document is not None
    for number in range(3):
        document["cards"]["comparisons"] = number
        SnapshotHistory(services.store, 1_000, 90).add([document], NOW_MS + number)
    page = (await client.get(path("support", "/comparisons"))).json()
    assert len(page["comparisons"]) == 1
    assert page["next"] is not None
    pages = [(await client.get(path("support", "/history"))).json()]
    while (end := pages[-1]["next"]) is not None:
        pages.append((await client.get(path("support", f"/history?to={end}"))).json())
    assert [[entry["at"][-4:] for entry in page["snapshots"]] for page in pages] == [["002Z"], ["001Z"], ["000Z"]]


# ---- errors


@pytest.mark.parametrize(
    ("target", "status", "detail"),
    [
        (path("nobody"), 404, "'nobody'"),
        (path("nobody", "/comparisons"), 404, "'nobody'"),
        (path("nobody", "/history"), 404, "'nobody'"),
        (path("support", "?window=8d"), 400, "window"),
        (path("support", "/comparisons?outcome=fp,xx"), 400, "'xx'"),
        (path("support", "/comparisons?limit=0"), 400, "limit"),
        (path("support", "/comparisons?limit=501"), 400, "limit"),
        (path("support", "/comparisons?cursor=!"), 400, "cursor"),
        (path("support", "/comparisons?cursor=WzFd"), 400, "cursor"),
        (path("support", "/history?from=yesterday"), 400, "from"),
        (path("support", "/history?from=679503086084223460704256"), 400, "from"),
        (path("support", "/history?from=2026-11-24X10:00:00Z"), 400, "from"),
        ("/api/v1/queues?cursor=-1", 400, "cursor"),
        ("/api/v1/queues/%ff", 400, "UTF-8"),
        ("/api/v1/stream", 400, "queue"),
        ("/nowhere", 404, "not found"),
        ("/api/v1/queues/", 404, "not found"),
    ],
)
async def test_errors_are_problem_documents_that_name_the_cause(
    client: httpx.AsyncClient, target: str, status: int, detail: str
) -> None:
    answer = await client.get(target)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert detail in answer.json()["detail"]


@given(cursor=st.text(max_size=40))
@settings(max_examples=40)
def test_an_invalid_cursor_is_an_error(cursor: str) -> None:
    try:
        key = _parse(cursor)
    except CursorError:
        return
    assert len(key) == 5


# ---- OpenAPI


async def test_openapi_names_exactly_the_routes(client: httpx.AsyncClient, services: Services) -> None:
    document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {route.path for route in api_routes(services)}


async def test_openapi_describes_every_field_of_the_responses(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    silent = {
        (name, field)
        for name, schema in schemas.items()
        for field, described in schema.get("properties", {}).items()
        if "description" not in described
    }
    # Their fields are named by keywords and digits, which a class cannot have.
    assert {name for name, _ in silent} == {"Bin", "Ratings", "Verdicts"}
    assert schemas["TrendDay"]["properties"]["items"]["description"].startswith("Distinct items")


@pytest.mark.parametrize(
    ("template", "target"),
    [
        ("/api/v1/queues", "/api/v1/queues"),
        ("/api/v1/queues/{queue}", path("support")),
        ("/api/v1/queues/{queue}", path(HOSTILE)),
        ("/api/v1/queues/{queue}/comparisons", path("support", "/comparisons?limit=2")),
        ("/api/v1/queues/{queue}/items/{item}", path("support", "/items/i2")),
        ("/api/v1/queues/{queue}/items/{item}", path("support", "/items/none")),
        ("/api/v1/queues/{queue}/history", path("support", "/history")),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/api/v1/queues/{queue}", path("nobody")),
        ("/api/v1/queues/{queue}/comparisons", path("support", "/comparisons?limit=x")),
    ],
)
async def test_answers_hold_to_the_openapi_document(
    client: httpx.AsyncClient, services: Services, template: str, target: str
) -> None:
    document = services.documents.get("support")
    assert document is not None
    SnapshotHistory(services.store, 1_000, 90).add([document], NOW_MS)
    openapi = strict((await client.get("/openapi.json")).json())
    answer = await client.get(target)
    described = openapi["paths"][template]["get"]["responses"][str(answer.status_code)]
    schema = described["content"][answer.headers["content-type"]]["schema"]
    Draft202012Validator({**schema, "components": openapi["components"]}).validate(answer.json())


def strict(schema: Any) -> Any:
    """The same, without fields that are not described."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: strict(part) for name, part in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        parts["additionalProperties"] = False
    return parts


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/v1/queues?limit=", 400),
        ("/api/v1/queues?empty=2", 400),
        (path("support", "?window="), 400),
        (path("support", "/comparisons?outcome=tp,,fn"), 400),
        (path("support", "/comparisons?criterion="), 400),
        (path("support", "/what-if?criterion=c&metric=m&cost=1_0"), 400),
        (path("support", "/history?from=2026-01-01&to=2026-01-02t00:00:00.5z"), 200),
        ("/api/v1/queues?other=", 200),
        # A form of the page sends its empty fields.
        ("/?q=&sort=&empty=&page=", 200),
        ("/queues/support?window=&cost=&criterion=", 200),
    ],
)
async def test_the_api_takes_no_empty_parameter_and_the_page_does(
    client: httpx.AsyncClient, target: str, status: int
) -> None:
    assert (await client.get(target)).status_code == status


async def test_no_parameter_of_the_openapi_document_may_be_empty(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    required = "criterion=overall&metric=relevance"
    for template, methods in document["paths"].items():
        for parameter in methods["get"]["parameters"]:
            if parameter["in"] == "query":
                target = f"{template.replace('{queue}', 'support')}?{required}&{parameter['name']}="
                assert (await client.get(target)).status_code == 400, target


async def test_every_text_time_and_answer_of_the_openapi_document_has_its_form(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for template, methods in document["paths"].items():
        for parameter in methods["get"]["parameters"]:
            schema = parameter["schema"]
            exact = {"minLength", "pattern", "enum"} & schema.keys() or schema.get("type") in ("integer", "number")
            assert exact or parameter["name"] in ("from", "to"), (template, parameter["name"])
            if parameter["name"] in ("from", "to"):
                assert [part.get("format", part["type"]) for part in schema["anyOf"]] == [
                    "date-time",
                    "date",
                    "integer",
                ]
    answer = document["paths"]["/openapi.json"]["get"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"] == {"type": "object"}


@pytest.mark.parametrize("target", ["/openapi.json", "/metrics", "/nowhere", "/api/v1/queues?limit=x", "/healthz"])
async def test_no_cache_keeps_what_changes_or_fails(client: httpx.AsyncClient, target: str) -> None:
    assert (await client.get(target)).headers["cache-control"] == "no-store"


async def test_parameters_that_are_described_are_the_ones_that_count(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for template, methods in document["paths"].items():
        for parameter in methods["get"]["parameters"]:
            if parameter["in"] == "query" and parameter["name"] in ("window", "limit", "from", "to"):
                target = template.replace("{queue}", "support") + f"?queue=support&{parameter['name']}=nonsense"
                assert (await client.get(target)).status_code == 400, (template, parameter["name"])
