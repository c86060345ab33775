"""CloudEvents over HTTP: binary and structured mode, and batches."""

import json
from typing import Any

import pytest

from aggregator.days import timestamp
from streams.events.decoder import Decoder, Rejection
from tests.support.ingest import AT, CE, NOW_MS, TOPICS, Door, annotation, evaluation


async def test_binary_mode_fills_id_and_time_from_percent_decoded_headers(door: Door) -> None:
    event = annotation()
    del event["id"], event["at"]
    answer = await door.send(json.dumps(event), "application/json", **CE, ce_id="Euro%20%E2%82%AC", ce_time=AT)
    assert answer.status_code == 200
    (record,) = door.publisher.sent
    fact = Decoder().decode(TOPICS.sources[record.topic], record.value, record.key, record.headers, NOW_MS)
    assert not isinstance(fact, Rejection)
    assert (fact.id, record.value) == ("Euro €", json.dumps(event).encode())


async def test_binary_data_that_is_an_array_is_not_a_batch(door: Door) -> None:
    answer = await door.send(json.dumps([annotation(), evaluation()]), "application/json", **CE, ce_id="x")
    assert (answer.status_code, len(answer.json()["rejected"])) == (422, 1)
    assert answer.json()["rejected"][0]["reason"] == "invalid_field"


def cloud_event(id: str, data: Any, **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "time": AT, "type": "rating", "source": "/tool", "data": data, **attributes}


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", "application/CloudEvents+JSON; charset=utf-8"]
)
async def test_structured_mode_takes_the_attributes_of_the_payload_alone(door: Door, content_type: str) -> None:
    event = cloud_event("payload", {"queue": "support", "item": "i1", "thumbs": "up"})
    answer = await door.send(json.dumps(event), content_type, **CE, ce_id="%ff", ce_time="yesterday")
    assert answer.status_code == 200, answer.text
    (record,) = door.publisher.sent
    fact = Decoder().decode(TOPICS.sources[record.topic], record.value, record.key, record.headers, NOW_MS)
    assert not isinstance(fact, Rejection)
    assert (fact.id, timestamp(fact.at)) == ("payload", "2026-09-21T14:00:00.000Z")


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson", None])
async def test_a_structured_event_of_another_content_type_is_rejected_with_the_one_it_needs(
    door: Door, content_type: str | None
) -> None:
    event = cloud_event("c1", {"queue": "support", "item": "i1", "thumbs": "up"})
    answer = await door.send(json.dumps(event), content_type)
    assert answer.status_code == 422
    assert "application/cloudevents+json" in answer.json()["rejected"][0]["detail"]


async def test_a_batch_of_cloud_events(door: Door) -> None:
    data = {"item": "i1", "metric": "m", "passed": True}
    events = [cloud_event("c1", data), cloud_event("c2", data, specversion="0.3"), cloud_event("c3", None)]
    answer = await door.send(json.dumps(events), "application/cloudevents-batch+json; charset=utf-8")
    assert (answer.status_code, answer.json()["accepted"]) == (207, 1)
    assert [(found["id"], found["reason"]) for found in answer.json()["rejected"]] == [
        ("c2", "unsupported_version"),
        ("c3", "invalid_field"),
    ]
    single = await door.send(json.dumps(events[0]), "application/cloudevents-batch+json")
    assert single.status_code == 400


async def test_other_formats_of_cloud_events_are_415(door: Door) -> None:
    assert (await door.send("{}", "application/cloudevents+avro")).status_code == 415
