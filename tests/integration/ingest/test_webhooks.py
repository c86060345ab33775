"""Webhooks on a real Kafka: what the tools send is acknowledged and counted, and refused ones leave nothing."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest.app import create_app
from ingest.config import IngestConfig, Limits
from ingest.metrics import IngestMetrics
from ingest.publish import Publisher
from ingest.source_access import read_verifiers
from ingest.sources import open_intakes
from sinks.access import AccessToken
from sources.intake.store import IndexStore
from streams.kafka.client import KafkaClient
from streams.kafka.topics import Topics, apply
from tests.support.kafka import Kafka
from tests.support.signed import signed
from tests.support.sources import tool_source
from tests.support.waiting import DEADLINE_SECONDS, eventually
from tests.support.wire import Stored, Wire

TOKEN = "0123456789abcdef0123456789abcdef"
BEARER = {"authorization": f"Bearer {TOKEN}"}
SECRET = "an-invented-secret-of-40-bytes-in-header"
WHSEC = "whsec_YW4gaW52ZW50ZWQga2V5IG9mIDMyIGJ5dGVzIGhlcmU="
AT = "2026-09-21T14:00:00Z"
LABEL_STUDIO_HEADER = "x-label-secret"
HEADER = {LABEL_STUDIO_HEADER: SECRET}


def labelled(id: int = 1, stars: int = 4, second: int = 0) -> dict[str, Any]:
    """An annotation of Label Studio."""
    answer = {"type": "rating", "from_name": "tone", "value": {"rating": stars}}
    updated = f"2026-09-21T14:00:{second:02d}.000000Z"
    return {"id": id, "task": id, "project": 7, "updated_at": updated, "result": [answer], "completed_by": 3}


def task(id: int = 1) -> dict[str, Any]:
    return {"id": id, "data": {"trace_id": f"trace-{id}"}, "project": 7}


def created(**fields: Any) -> dict[str, Any]:
    return {"action": "ANNOTATION_CREATED", "annotation": labelled(**fields), "task": task(), "project": {"id": 7}}


def bulk(count: int) -> dict[str, Any]:
    annotations, tasks = [labelled(id) for id in range(count)], [task(id) for id in range(count)]
    return {"action": "ANNOTATIONS_CREATED", "annotation": annotations, "task": tasks, "project": {"id": 7}}


DELETED = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}, {"id": 99}], "project": {"id": 7}}
QUESTION = {"name": "tone", "settings": {"type": "rating"}}
RESPONSE = {
    "type": "response.created",
    "version": 1,
    "timestamp": AT,
    "data": {
        "id": "r-1",
        "status": "submitted",
        "record": {"external_id": "trace-1", "dataset": {"name": "answers", "questions": [QUESTION]}},
        "user": {"id": "ada"},
        "values": {"tone": {"value": 4}},
    },
}
FEEDBACK = {"rating": 1, "type": "THUMBS_RATING", "traceUuid": "trace-1", "userId": "ada"}
EVALUATION = {
    "join_on": {"span": {"span_id": "12", "trace_id": "34"}},
    "metric_type": "score",
    "label": "accuracy",
    "score_value": 0.8,
    "timestamp_ms": 1789999200000,
    "assessment": "pass",
}
DATADOG = {"data": {"type": "evaluation_metric", "attributes": {"metrics": [EVALUATION, {**EVALUATION, "label": "b"}]}}}
TRIGGER = {"rule_id": "rule-1", "runs": [{"id": "trace-1", "feedback_stats": {"tone": {"n": 1, "avg": 4.0}}}]}
ROWS = {"rows": [{"key": "1", "trace": "trace-1", "name": "tone", "stars": 4, "at": AT}]}
CLOUD_EVENT = {"specversion": "1.0", "id": "ce-1", "source": "/tool", "type": "rated", "time": AT}
CLOUD_EVENTS = [
    {**CLOUD_EVENT, "data": {"queue": "support", "item": "trace-1", "thumbs": "up"}},
    {**CLOUD_EVENT, "id": "ce-2", "data": {"item": "trace-1", "metric": "tone", "passed": True}},
    {**CLOUD_EVENT, "id": "ce-3", "data": {"item": "trace-1", "metric": "tone"}},
]


@dataclass(frozen=True)
class Webhook:
    """What a tool sends, and what becomes of it."""

    path: str
    body: Any
    headers: Mapping[str, str] = field(default_factory=lambda: BEARER)
    events: int = 1
    skipped: Mapping[str, int] = field(default_factory=dict)
    rejected: int = 0


WEBHOOKS = (
    Webhook("labels", created(), HEADER),
    Webhook("labels", created(), HEADER, 0),
    Webhook("labels", created(stars=2, second=9), HEADER),
    Webhook("labels", created(stars=5, second=5), HEADER, 0, {"older": 1}),
    Webhook("labels", DELETED, HEADER, 1, {"not_owned": 1}),
    Webhook("labels", {"action": "PROJECT_UPDATED", "project": {"id": 7}}, HEADER, 0, {"not_an_evaluation": 1}),
    Webhook("responses", RESPONSE, {}),
    Webhook("confident/v1/annotations", FEEDBACK),
    Webhook("confident/v1/traces", {"spans": []}, BEARER, 0, {"not_an_evaluation": 1}),
    Webhook("datadog/api/intake/llm-obs/v2/eval-metric", DATADOG, {"dd-api-key": SECRET}, 2),
    Webhook("langsmith", TRIGGER, BEARER, 0, {"trigger": 1}),
    Webhook("rows", ROWS),
    Webhook("events", CLOUD_EVENTS, BEARER, 2, {}, 1),
)
"""In this order; those of Argilla are signed."""


@dataclass(frozen=True)
class Webhooks:
    """An application on a real Kafka."""

    client: httpx.AsyncClient
    bootstrap: str
    topics: Topics

    async def post(self, path: str, body: Any, headers: Mapping[str, str]) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(f"/api/v1/sources/{path}", content=content, headers=headers)

    async def records(self) -> dict[str, list[Stored]]:
        """All records of the topics that ingest writes to, by role."""
        roles = ("annotations", "evaluations", "queue_items", "dead_letters")

        def read() -> dict[str, list[Stored]]:
            with Wire(self.bootstrap) as wire:
                return {role: wire.read(getattr(self.topics, role)) for role in roles}

        return await asyncio.to_thread(read)


@asynccontextmanager
async def open_webhooks(publisher: Publisher, bootstrap: str, topics: Topics, path: Path) -> AsyncIterator[Webhooks]:
    """Sources of every tool that sends webhooks."""
    (path / "shared").write_text(SECRET)
    (path / "signed").write_text(WHSEC)
    rules: dict[str, Any] = {"queue": "support", "criteria": {"tone": {"rating": "stars"}}}
    shared: dict[str, Any] = {"secret_file": str(path / "shared")}
    columns = {"id": "key", "item": "trace", "criterion": "name", "rating": "stars", "at": "at"}
    config = IngestConfig(
        kafka=KafkaClient([bootstrap]),
        topics=topics,
        limits=Limits(acknowledge_seconds=3),
        sources={
            "labels": tool_source("labelstudio", **rules, **shared, item="trace_id", secret_header=LABEL_STUDIO_HEADER),
            "responses": tool_source("argilla", **rules, secret_file=str(path / "signed")),
            "confident": tool_source("confident", queue="support"),
            "datadog": tool_source("datadog", **shared, item="trace"),
            "langsmith": tool_source("langsmith", **rules),
            "rows": tool_source("json", **rules, records="rows", columns=columns),
            "events": tool_source("events"),
        },
    )
    store = IndexStore(path)
    app = create_app(
        config,
        publisher,
        IngestMetrics("1"),
        (AccessToken("tool", TOKEN.encode()),),
        open_intakes(config, publisher, store),
        verifiers=read_verifiers(config.sources),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=120) as client:
        yield Webhooks(client, bootstrap, topics)
    store.close()


@pytest.fixture
async def webhooks(publisher: Publisher, topics: Topics, kafka: Kafka, tmp_path: Path) -> AsyncIterator[Webhooks]:
    async with open_webhooks(publisher, kafka.bootstrap, topics, tmp_path) as opened:
        yield opened


def _kinds(records: list[Stored]) -> Counter[str]:
    """Records by the prefix of their id, and whether they are deletions."""
    events = [json.loads(record.value or b"") for record in records]
    return Counter(
        event.get("id", "").partition(":")[0] + (" deleted" if event.get("deleted") else "") for event in events
    )


async def test_webhooks_of_every_tool_are_acknowledged_and_counted(webhooks: Webhooks) -> None:
    for each in WEBHOOKS:
        body = json.dumps(each.body).encode()
        headers = each.headers or signed(WHSEC, body)
        response = await webhooks.post(each.path, body, headers)
        assert response.status_code == 200, (each.path, response.text)
        assert response.json() == {"events": each.events, "skipped": each.skipped, "rejected": each.rejected}, each.path
    stored = await webhooks.records()
    assert _kinds(stored["annotations"]) == {
        "labelstudio": 2,
        "labelstudio deleted": 1,
        "argilla": 1,
        "confident": 1,
        "json": 1,
        "ce-1": 1,
    }
    assert _kinds(stored["evaluations"]) == {"datadog": 2, "ce-2": 1}
    assert stored["queue_items"] == []
    [dead] = stored["dead_letters"]
    assert dict(dead.headers)["alignment-reason"] == b"no_verdict"
    assert json.loads(dead.value or b"")["id"] == "ce-3"
    for record in (*stored["annotations"], *stored["evaluations"]):
        assert record.key == json.loads(record.value or b"").get("item", "trace-1").encode()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("labels", {}),
        ("labels", {LABEL_STUDIO_HEADER: f"{SECRET}x"}),
        ("labels?token=" + SECRET, {}),
        ("labels", {"authorization": f"Bearer {SECRET}"}),
        ("responses", {"authorization": f"Bearer {WHSEC}"}),
        ("responses", signed(WHSEC, b"another body")),
        ("confident/v1/annotations", HEADER),
        ("langsmith", {"authorization": "Bearer none"}),
        ("none", {}),
    ],
)
async def test_refused_webhooks_leave_nothing(webhooks: Webhooks, path: str, headers: Mapping[str, str]) -> None:
    for body in (created(), RESPONSE, b"no JSON"):
        assert (await webhooks.post(path, body, headers)).status_code == 401
    assert not any((await webhooks.records()).values())


async def test_an_unknown_source_is_not_found(webhooks: Webhooks) -> None:
    response = await webhooks.post("none", created(), BEARER)
    assert response.status_code == 404 and "labels" in response.json()["detail"]


async def test_a_body_of_another_tool_is_a_dead_letter_without_secrets(webhooks: Webhooks) -> None:
    for path, headers in (
        ("labels", {**HEADER, "cookie": "private"}),
        ("rows", BEARER),
        ("responses", signed(WHSEC, json.dumps(TRIGGER).encode())),
    ):
        response = await webhooks.post(path, TRIGGER, headers)
        assert response.status_code == 422, path
        assert "compare the setting `tool`" in response.json()["detail"]
    stored = await webhooks.records()
    assert not (stored["annotations"] or stored["evaluations"])
    assert [dict(record.headers)["alignment-source"] for record in stored["dead_letters"]] == [
        b"labels",
        b"rows",
        b"responses",
    ]
    for record in stored["dead_letters"]:
        assert json.loads(record.value or b"") == TRIGGER
        named = dict(record.headers)
        assert named["alignment-reason"] == b"unknown_shape"
        assert not [name for name in named if not name.startswith("alignment-")]
        text = str(record.headers)
        assert not [word for word in (SECRET, TOKEN, "private", "v1,") if word in text]


async def test_thousands_of_annotations_come_in_one_body(webhooks: Webhooks) -> None:
    """Label Studio sends them together, and never again."""
    count = 5000
    response = await webhooks.post("labels", bulk(count), HEADER)
    assert response.json() == {"events": count, "skipped": {}, "rejected": 0}
    stored = (await webhooks.records())["annotations"]
    assert len({json.loads(record.value or b"")["id"] for record in stored}) == len(stored) == count
    assert (await webhooks.post("labels", bulk(count), HEADER)).json()["events"] == 0


async def test_what_the_broker_does_not_acknowledge_is_remembered_only_when_it_does(
    own_kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    await apply({"bootstrap_servers": own_kafka.bootstrap}, topics, 1, 1)
    publisher = Publisher(
        IngestConfig(kafka=KafkaClient([own_kafka.bootstrap]), topics=topics, limits=Limits(acknowledge_seconds=3))
    )
    running = asyncio.create_task(publisher.run())
    try:
        await eventually(lambda: publisher.away is None)
        async with open_webhooks(publisher, own_kafka.bootstrap, topics, tmp_path) as webhooks:
            await asyncio.to_thread(own_kafka.kill)
            response = await webhooks.post("labels", created(), HEADER)
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            await asyncio.to_thread(own_kafka.start)
            async with asyncio.timeout(4 * DEADLINE_SECONDS):
                while response.status_code == 503:
                    # The answer comes without a wait while the broker is known to be away.
                    await asyncio.sleep(0.05)
                    response = await webhooks.post("labels", created(), HEADER)
            assert (response.status_code, response.json()["events"]) == (200, 1)
            assert (await webhooks.post("labels", created(), HEADER)).json()["events"] == 0
            stored = (await webhooks.records())["annotations"]
            assert len({record.value for record in stored}) == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
