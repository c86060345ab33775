"""Deep-dive routes: each reply is the result of its function, as the OpenAPI document describes it."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from jsonschema import Draft202012Validator

from aggregator.days import DAY_MS, Window, day_of
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from sinks import budgets
from sinks.api.services import Services
from sinks.queries import deep_dive
from sinks.queries.alternative import alternative_annotator
from sinks.queries.calibration import score_calibration
from sinks.queries.history import documents_between
from sinks.queries.people import annotators, disagreements
from sinks.queries.scope import Scope
from sinks.queries.segments import segments
from sinks.queries.thresholds import what_if
from sinks.snapshots import SnapshotHistory
from tests.support.sample_view import FACTS, HOSTILE, NOW_MS, fill
from tests.unit.sinks.api.test_routes import path, strict

PAIR = "criterion=overall&metric=relevance"
ROUTES = [
    "trend",
    "what-if",
    "ceiling",
    "versions",
    "corrected",
    "segments",
    "disagreements",
    "calibration",
    "alternative-annotator",
]


def scored(number: int) -> list[Fact]:
    """An item with two people, and a score and a verdict of two judge versions."""
    item = f"scored {number}"
    return [
        *(
            Annotation(at=NOW_MS - number * DAY_MS, id="a", queue="support", item=item, annotator=who, stars=stars)
            for who, stars in (("ann", 1 + number % 5), ("bob", 1 + number * 2 % 5))
        ),
        *(
            Evaluation(
                at=NOW_MS - days * DAY_MS,
                id="e",
                item=item,
                metric="relevance",
                judge=judge,
                score=number / 10,
                threshold=limit,
                passed=number / 10 >= limit,
            )
            for judge, days, limit in (("v1", 9, 0.3), ("v2", 2, 0.5))
        ),
        QueueItem(at=NOW_MS, id="q", queue="support", item=item),
    ]


@pytest.fixture
def scope(services: Services) -> Scope:
    """The queue of the tests, with enough data for every number, and three days of history."""
    facts = [*FACTS, *(fact for number in range(10) for fact in scored(number))]
    for days, upto in ((2, 20), (1, 40), (0, len(facts))):
        fill(services.store, facts[:upto])
        document = services.documents.get("support")
        assert document is not None
        SnapshotHistory(services.store, 1_000, 90).add([document], NOW_MS - days * DAY_MS - 1)
        SnapshotHistory(services.store, 1_000, 90).add([document], NOW_MS - days * DAY_MS)
    return Scope("support", Window.ALL, services.today(), services.config.rules)


async def test_replies_are_the_results_of_the_query_functions(
    client: httpx.AsyncClient, services: Services, scope: Scope
) -> None:
    pair = "overall", "relevance"
    with services.store.read() as connection:
        expected: dict[str, Any] = {
            "/trend": deep_dive.trend(connection, scope),
            "/trend?criterion=overall": deep_dive.trend(connection, scope, "overall"),
            "/trend?metric=relevance": deep_dive.trend(connection, scope, None, "relevance"),
            f"/trend?{PAIR}": deep_dive.trend(connection, scope, *pair),
            f"/trend?by=publication&{PAIR}": deep_dive.published(connection, scope, *pair),
            f"/what-if?{PAIR}": what_if(connection, scope, *pair),
            f"/what-if?{PAIR}&cost=3.5": what_if(connection, scope, *pair, cost=3.5),
            "/ceiling?criterion=overall": deep_dive.ceiling(connection, scope, "overall"),
            f"/versions?{PAIR}": deep_dive.versions(connection, scope, *pair),
            f"/segments?{PAIR}": segments(connection, scope, *pair),
            f"/segments?{PAIR}&by=tag:plan": segments(connection, scope, *pair, "tag:plan"),
            f"/segments?{PAIR}&by=judge": segments(connection, scope, *pair, "judge"),
            "/alternative-annotator?criterion=overall": alternative_annotator(connection, scope, "overall", 0.2),
            f"/calibration?{PAIR}": score_calibration(connection, scope, *pair),
            "/disagreements?criterion=overall": disagreements(connection, scope, "overall"),
            "/disagreements?criterion=overall&skip=1&limit=2": disagreements(
                connection, scope, "overall", skip=1, limit=2
            ),
            f"/corrected?{PAIR}": deep_dive.corrected(connection, scope, *pair),
        }
    for rest, result in expected.items():
        assert (await client.get(path("support", rest))).json() == orjson.loads(orjson.dumps(result)), rest


async def test_no_number_of_the_examples_is_undefined(client: httpx.AsyncClient, scope: Scope) -> None:
    for route in ROUTES:
        body = (await client.get(path(scope.queue, f"/{route}?{PAIR}"))).json()
        # Few labels recommend no cut.
        assert body.get("undefined", {}) == ({"recommended": "no_better_cut"} if route == "what-if" else {}), route
    corrected = (await client.get(path("support", f"/corrected?{PAIR}"))).json()
    assert [judge["corrected"] is None for judge in corrected["judges"] if judge["judge"] == "v2"] == [False]


async def test_a_window_limits_the_days_of_a_trend(client: httpx.AsyncClient, scope: Scope) -> None:
    whole, week = [
        (await client.get(path(scope.queue, f"/trend?{PAIR}&window={window}"))).json() for window in ("all", "7d")
    ]
    assert [day["day"] for day in week["days"]] == [day_of(NOW_MS - days * DAY_MS) for days in range(6, -1, -1)]
    # The week up to a day ends where the window does.
    alone = [[{**day, "week": None} for day in trend["days"]] for trend in (whole, week)]
    assert alone[0][-7:] == alone[1]
    assert whole["days"][-1] == week["days"][-1]
    assert week["days"][0]["week"] == {name: week["days"][0][name] for name in week["days"][0]["week"]}
    assert len(whole["days"]) == 10


async def test_published_is_the_last_document_of_each_day(
    client: httpx.AsyncClient, services: Services, scope: Scope
) -> None:
    body = (await client.get(path("support", "/trend?by=publication"))).json()
    with services.store.read() as connection:
        kept, _ = documents_between(connection, scope.queue, (0, NOW_MS + 1), 10)
    last = {day_of(at): document["cards"] for at, document in reversed(kept)}
    assert len(kept) == len(last) == 3
    assert [(day["day"], day["n"], day["alignment"], day["low"], day["high"]) for day in body["days"]] == [
        (day, cards["comparisons"], cards["alignment"], cards["alignment_low"], cards["alignment_high"])
        for day, cards in last.items()
    ]
    assert body["by"] == "publication"


@pytest.mark.parametrize("by", ["annotation", "publication"])
async def test_a_trend_of_many_days_is_answered_in_pages_that_join(
    by: str, client: httpx.AsyncClient, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = path(scope.queue, f"/trend?by={by}&{PAIR}")
    whole = (await client.get(address)).json()
    assert (whole["days_total"], whole["days_left_out"]) == (len(whole["days"]), 0)
    monkeypatch.setattr(budgets, "DAYS", 2)
    days: list[object] = []
    skip = 0
    while skip < whole["days_total"]:
        page = (await client.get(f"{address}&skip={skip}")).json()
        assert 1 <= len(page["days"]) <= 2
        assert page["days_total"] == whole["days_total"]
        days = page["days"] + days
        skip = page["days_total"] - page["days_left_out"]
    assert days == whole["days"]
    assert (await client.get(f"{address}&skip={skip}")).json()["days"] == []
    assert (await client.get(f"{address}&skip=x")).status_code == 400


async def test_a_trend_of_large_documents_ends_early_and_goes_on(
    client: httpx.AsyncClient, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "PUBLISHED_BYTES", 1)
    address = path(scope.queue, "/trend?by=publication")
    first = (await client.get(address)).json()
    assert [len(first["days"]), first["days_total"], first["days_left_out"]] == [1, 3, 2]
    second = (await client.get(f"{address}&skip=1")).json()
    assert second["days"][0]["day"] < first["days"][0]["day"]
    assert second["days_left_out"] == 1


async def test_of_several_documents_of_a_day_the_last_is_published(
    client: httpx.AsyncClient, services: Services
) -> None:
    document = services.documents.get("support")
    assert document is not None
    for at, misaligned in ((NOW_MS - 5, 1), (NOW_MS - 4, 2)):
        document["cards"]["misaligned"] = misaligned
        SnapshotHistory(services.store, 1_000, 90).add([document], at)
    (day,) = (await client.get(path("support", "/trend?by=publication"))).json()["days"]
    assert day["n"] - day["k"] == 2


@pytest.mark.parametrize(
    ("rest", "status", "detail"),
    [
        ("/what-if?metric=relevance", 400, "criterion"),
        ("/what-if?criterion=overall", 400, "metric"),
        ("/ceiling", 400, "criterion"),
        ("/versions?criterion=overall", 400, "metric"),
        ("/corrected", 400, "criterion"),
        (f"/what-if?{PAIR}&cost=0", 400, "cost"),
        (f"/what-if?{PAIR}&cost=-1", 400, "cost"),
        (f"/what-if?{PAIR}&cost=nan", 400, "cost"),
        (f"/what-if?{PAIR}&cost=inf", 400, "cost"),
        (f"/what-if?{PAIR}&cost=much", 400, "cost"),
        ("/trend?by=tea", 400, "'tea'"),
        ("/trend?by=publication&metric=relevance", 400, "criterion"),
        ("/trend?window=8d", 400, "window"),
        (f"/segments?{PAIR}&by=colour", 400, "by: 'colour' is not one of annotator, level, judge"),
        (f"/segments?{PAIR}&by=annotator", 403, "show_annotators"),
        ("/annotators?criterion=overall", 403, "show_annotators"),
        ("/disagreements?criterion=overall&limit=101", 400, "limit"),
    ],
)
async def test_errors_are_problem_documents_that_name_the_cause(
    client: httpx.AsyncClient, rest: str, status: int, detail: str
) -> None:
    answer = await client.get(path("support", rest))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert detail in answer.json()["detail"]


async def test_annotators_are_a_division_with_their_setting(
    client: httpx.AsyncClient, services: Services, scope: Scope
) -> None:
    services.config = replace(services.config, show_annotators=True)
    answer = await client.get(path(scope.queue, f"/segments?{PAIR}&by=annotator"))
    assert {segment["value"] for segment in answer.json()["segments"]} == {"ann", "bob", None}
    people = (await client.get(path(scope.queue, "/annotators?criterion=overall"))).json()
    with services.store.read() as connection:
        assert people == orjson.loads(orjson.dumps(annotators(connection, scope, "overall")))
    openapi = strict((await client.get("/openapi.json")).json())
    schema = {"$ref": "#/components/schemas/Annotators", "components": openapi["components"]}
    Draft202012Validator(schema).validate(people)
    shown = (await client.get(path(scope.queue, "/disagreements?criterion=overall"))).json()
    assert {each["annotator"] for item in shown["items"] for each in item["answers"]} >= {"ann", "bob"}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("queue", ["support", HOSTILE, "nobody"])
@pytest.mark.parametrize("criterion", ["overall", 'unknown "\\', '"\\'])
async def test_answers_hold_to_the_openapi_document(
    client: httpx.AsyncClient, scope: Scope, route: str, queue: str, criterion: str
) -> None:
    assert scope.queue == "support"
    openapi = strict((await client.get("/openapi.json")).json())
    answer = await client.get(path(queue, f"/{route}?criterion={quote(criterion)}&metric=relevance"))
    assert answer.status_code == (404 if queue == "nobody" else 200)
    described = openapi["paths"][f"/api/v1/queues/{{queue}}/{route}"]["get"]["responses"][str(answer.status_code)]
    schema = described["content"][answer.headers["content-type"]]["schema"]
    Draft202012Validator({**schema, "components": openapi["components"]}).validate(answer.json())


@pytest.mark.parametrize("route", ROUTES)
async def test_described_parameters_are_the_ones_that_are_needed(client: httpx.AsyncClient, route: str) -> None:
    openapi = (await client.get("/openapi.json")).json()
    described = openapi["paths"][f"/api/v1/queues/{{queue}}/{route}"]["get"]["parameters"]
    needed = {parameter["name"]: "x" for parameter in described if parameter["required"] and parameter["in"] == "query"}
    for left_out in [None, *needed]:
        given = "&".join(f"{name}={value}" for name, value in needed.items() if name != left_out)
        answer = await client.get(path("support", f"/{route}?{given}"))
        assert answer.status_code == (200 if left_out is None else 400)
