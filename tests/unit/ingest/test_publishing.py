"""What a request waits for: acknowledgements, and the clock of the broker."""

import asyncio
import json
from typing import Any

from ingest.publish import NotAcknowledgedError, TooLargeForBrokerError
from tests.support.ingest import NOW_MS, Door, annotation, evaluation


async def test_503_when_the_broker_is_away_before_the_body_is_read(door: Door) -> None:
    door.publisher.away = "the broker has not answered for 20 s"
    answer = await door.send(json.dumps(annotation()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "has not answered" in answer.json()["detail"]
    ready = await door.client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert (await door.client.get("/healthz")).status_code == 200


async def test_503_for_a_part_keeps_its_bytes_until_the_producer_has_dropped_them(door: Door) -> None:
    arrived, lost = asyncio.Future[Any](), asyncio.Future[Any]()
    door.publisher.error = NotAcknowledgedError("the broker did not acknowledge the events in time", [arrived, lost])
    body = json.dumps([annotation(), evaluation(), {"id": "x"}])
    answer = await door.send(body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "accepted" not in answer.json()
    assert door.metric("events_accepted_total", sender="") == 0
    assert door.metric("in_flight_bytes") == len(body)
    arrived.set_result(None)
    lost.set_exception(ConnectionError())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert door.metric("in_flight_bytes") == 0


async def test_413_for_an_event_that_the_broker_refuses_as_too_large_so_that_a_client_halves_its_batches(
    door: Door,
) -> None:
    door.publisher.error = TooLargeForBrokerError("the broker refuses events as too large")
    answer = await door.send(json.dumps([annotation(), evaluation()]))
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert "some of them may have arrived" in answer.json()["detail"]


async def test_an_unexpected_error_is_a_problem_and_never_a_success(door: Door) -> None:
    door.publisher.error = ZeroDivisionError()
    answer = await door.send(json.dumps(annotation()))
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert door.metric("in_flight_bytes") == 0


async def test_a_time_is_compared_with_the_brokers_clock(door: Door) -> None:
    door.publisher.clock.observe(NOW_MS + 3_600_000)
    limit = door.publisher.clock.now() + 300_000
    answer = await door.send(json.dumps([annotation("in", at=limit), annotation("out", at=limit + 1)]))
    assert [(found["id"], found["reason"]) for found in answer.json()["rejected"]] == [("out", "future_timestamp")]


async def test_an_event_that_is_answered_as_rejected_was_never_sent(door: Door) -> None:
    far = json.dumps([annotation(str(n), at=NOW_MS + 300_001) for n in range(3)])
    for known in (False, True):
        answer = await door.send(far)
        assert (answer.status_code, len(answer.json()["rejected"])) == (422, 3), known
        assert door.publisher.sent == []
        door.publisher.clock.observe(NOW_MS)
