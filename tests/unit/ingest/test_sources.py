"""Requests for sources: what they answer, and what they send."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest import parts
from ingest.publish import NotAcknowledgedError, TooLargeForBrokerError
from sources.intake import dead_letter_budget
from sources.intake.store import IndexStore, IndexUnusableError, StoredIndex
from streams.kafka.producer import Outgoing
from tests.support.ingest import NOW_MS, TOPICS, Door, open_door
from tests.support.sources import tool_source

RULES: dict[str, Any] = {"queue": "support", "criteria": {"resolved": {"rating": "thumbs"}}}
COLUMNS = {"item": "item", "criterion": "name", "rating": "value", "annotator": "by", "at": "at"}
SOURCES = {
    "rows": tool_source("json", **RULES, columns={"id": "id", "explanation": "why", **COLUMNS}, id_prefix="rows"),
    "stateless": tool_source("json", **RULES, columns=COLUMNS, id_prefix="other"),
    "confident": tool_source("confident", queue="support"),
}
ROW = {"id": "1", "item": "i1", "name": "resolved", "value": 1, "by": "p", "at": "2026-09-21T14:00:00Z"}


@pytest.fixture
async def source_door(tmp_path: Path) -> AsyncIterator[Door]:
    store = IndexStore(tmp_path)
    async with open_door(sources=SOURCES, store=store) as door:
        yield door
    store.close()


async def post(door: Door, path: str, body: Any, **query: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await door.client.post(f"/api/v1/sources/{path}", content=content, params=query)


async def test_the_answer_counts_what_the_broker_has_and_what_was_skipped(source_door: Door) -> None:
    response = await post(source_door, "rows", [ROW, {**ROW, "id": "2", "value": 7}])
    assert (response.status_code, response.json()) == (
        200,
        {"events": 1, "skipped": {"off_scale": 1}, "rejected": 0},
    )
    [sent] = source_door.publisher.sent
    assert (sent.topic, sent.key) == (TOPICS.annotations, b"i1")
    assert json.loads(sent.value or b"")["id"] == "rows:1@1789999200000"
    assert source_door.metric("source_events_total", source="rows") == 1
    assert source_door.metric("source_skipped_total", source="rows", reason="off_scale") == 1


async def test_a_row_that_comes_again_is_an_edit_of_the_same_record(source_door: Door) -> None:
    await post(source_door, "rows", [ROW])
    assert (await post(source_door, "rows", [ROW])).json()["events"] == 0
    assert (await post(source_door, "rows", [{**ROW, "value": 0}])).json()["events"] == 1


async def test_an_unknown_source_is_not_found_and_those_that_exist_are_named(source_door: Door) -> None:
    response = await post(source_door, "none", [ROW])
    assert response.status_code == 404
    assert "confident, rows, stateless" in response.json()["detail"]


async def test_a_body_of_another_tool_becomes_a_dead_letter(source_door: Door) -> None:
    response = await post(source_door, "rows", b"no JSON")
    assert response.status_code == 422
    [sent] = source_door.publisher.sent
    assert (sent.topic, sent.value) == (TOPICS.dead_letters, b"no JSON")
    assert sent.key == hashlib.sha256(b"no JSON").hexdigest().encode()
    headers = dict(sent.headers)
    assert headers["alignment-source"] == b"rows"
    assert headers["alignment-received"] == str(NOW_MS).encode()
    assert headers["alignment-reason"] == b"unknown_shape"
    assert source_door.metric("source_rejected_total", source="rows") == 1


@pytest.mark.parametrize("path", ["rows", "rows/api/of/an/sdk"])
async def test_a_body_of_too_many_rejected_records_is_one_dead_letter(
    source_door: Door, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_budget, "MAX_DEAD_LETTERS", 3)
    assert (await post(source_door, path, [ROW] + [{"item": "i1"}] * 3)).json()["rejected"] == 3
    source_door.publisher.sent.clear()
    response = await post(source_door, path, [{**ROW, "id": "2"}] + [{"item": "i1"}] * 4)
    assert response.status_code == 422
    assert "more than 3 of its 5 records are rejected" in response.json()["detail"]
    assert "record 2: id is empty; record 3: " in response.json()["detail"]
    [sent] = source_door.publisher.sent
    assert sent.topic == TOPICS.dead_letters


async def test_an_event_that_workers_would_reject_becomes_a_dead_letter(source_door: Door) -> None:
    response = await post(source_door, "rows", [ROW, {**ROW, "id": "2", "item": "x" * 300}])
    assert response.json() == {"events": 1, "skipped": {}, "rejected": 1}
    _, dead = source_door.publisher.sent
    assert dict(dead.headers)["alignment-reason"] == b"invalid_name"
    assert json.loads(dead.value or b"")["item"] == "x" * 300


async def test_other_requests_of_a_redirected_sdk_are_skipped(source_door: Door) -> None:
    response = await post(source_door, "confident/v1/traces", {"spans": []})
    assert (response.status_code, response.json()["skipped"]) == (200, {"not_an_evaluation": 1})
    assert source_door.publisher.sent == []


async def test_nothing_is_remembered_of_what_the_broker_did_not_acknowledge(source_door: Door) -> None:
    source_door.publisher.error = NotAcknowledgedError("the broker did not acknowledge the events in time")
    response = await post(source_door, "rows", [ROW])
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    source_door.publisher.error = None
    assert (await post(source_door, "rows", [ROW])).json()["events"] == 1


async def test_an_event_that_the_broker_refuses_as_too_large_does_not_block_its_source(
    source_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 300
    publish = source_door.publisher.publish

    async def publish_small(records: Sequence[Outgoing]) -> None:
        if any(len(record.value or b"") > limit for record in records):
            raise TooLargeForBrokerError("the broker refuses events as too large")
        await publish(records)

    monkeypatch.setattr(source_door.publisher, "publish", publish_small)
    large = [{**ROW, "id": name, "item": name, "why": "x" * 200} for name in ("i2", "i4")]
    small = [{**ROW, "id": name, "item": name} for name in ("i1", "i3", "i5")]
    batch = [small[0], large[0], small[1], large[1], small[2]]
    # What became a dead letter was not stated: a sender that repeats it gets the same answer.
    answers = [(await post(source_door, "rows", batch)).json() for _ in range(2)]
    assert answers == [{"events": 3 - sent, "skipped": {}, "rejected": 2} for sent in (0, 3)]
    assert source_door.metric("source_events_total", source="rows") == 3
    assert {sent.key for sent in source_door.publisher.sent if sent.topic == TOPICS.annotations} == {
        b"i1",
        b"i3",
        b"i5",
    }
    dead = [sent for sent in source_door.publisher.sent if sent.topic == TOPICS.dead_letters]
    assert [dict(sent.headers)["alignment-reason"] for sent in dead] == [b"oversized"] * 4
    # The topic of dead letters has the same limit.
    assert {sent.value for sent in dead} == {None}
    assert {"alignment-value-sha256", "alignment-value-bytes"} <= dict(dead[0].headers).keys()
    assert (await post(source_door, "rows", [{**small[0], "value": 0}])).json()["events"] == 1
    assert (await post(source_door, "rows", b"no JSON" * 100)).status_code == 422
    limit = 3_000
    assert (await post(source_door, "rows", large)).json() == {"events": 2, "skipped": {}, "rejected": 0}
    assert (await post(source_door, "rows", large)).json() == {"events": 0, "skipped": {}, "rejected": 0}


async def test_a_record_whose_edit_is_too_large_keeps_what_was_stated_before(
    source_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = source_door.publisher.publish

    async def publish_small(records: Sequence[Outgoing]) -> None:
        if any(len(record.value or b"") > 300 for record in records if record.topic != TOPICS.dead_letters):
            raise TooLargeForBrokerError("the broker refuses events as too large")
        await publish(records)

    monkeypatch.setattr(source_door.publisher, "publish", publish_small)
    assert (await post(source_door, "rows", [ROW])).json()["events"] == 1
    edited = {**ROW, "why": "x" * 400}
    assert (await post(source_door, "rows", [edited])).json()["rejected"] == 1
    # The record states another item now. The row that Kafka has of the first one is taken back.
    assert (await post(source_door, "rows", [{**ROW, "item": "i9"}])).json()["events"] == 2
    last = {sent.key: json.loads(sent.value or b"") for sent in source_door.publisher.sent if sent.value}
    assert last[b"i1"]["deleted"] is True
    assert "deleted" not in last[b"i9"]


async def test_a_full_disk_is_no_acknowledgement(source_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise IndexUnusableError("cannot use the index: database or disk is full")

    for step, sent in ("prepare", 0), ("commit", 1):
        monkeypatch.setattr(StoredIndex, step, full)
        response = await post(source_door, "rows", [ROW])
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert "disk is full" in response.json()["detail"]
        assert len(source_door.publisher.sent) == sent
        monkeypatch.undo()
    assert (await post(source_door, "rows", [ROW])).json()["events"] == 1


async def test_nothing_is_read_while_the_broker_is_away(source_door: Door) -> None:
    source_door.publisher.away = "not connected to the broker"
    assert (await post(source_door, "rows", [ROW])).status_code == 503


async def test_a_process_without_index_runs_only_sources_that_remember_nothing() -> None:
    async with open_door(sources=SOURCES) as door:
        response = await post(door, "rows", [ROW])
        assert response.status_code == 503 and "--sources none" in response.json()["detail"]
        assert (await post(door, "stateless", [ROW])).json()["events"] == 1


async def test_a_file_has_a_time_of_its_own(source_door: Door) -> None:
    undated = {name: value for name, value in ROW.items() if name != "at"}
    response = await post(source_door, "rows/-/file", [undated], time="1780000000000")
    assert response.json()["events"] == 1
    [sent] = source_door.publisher.sent
    assert json.loads(sent.value or b"")["at"] == "2026-05-28T20:26:40.000Z"
    assert (await post(source_door, "rows/-/file", [undated])).status_code == 400
    assert (await post(source_door, "rows/-/file", b"no JSON", time="1")).status_code == 422


@pytest.mark.parametrize("time", ["253402300800000", "9" * 5000, "\u0663", "-1"])
async def test_a_file_of_an_impossible_time_is_refused_and_keeps_nothing_back(source_door: Door, time: str) -> None:
    undated = {name: value for name, value in ROW.items() if name != "at"}
    assert (await post(source_door, "rows/-/file", [undated], time=time)).status_code == 400
    ahead = (await post(source_door, "rows/-/file", [undated], time="253402300799999")).json()
    assert (ahead["events"], ahead["rejected"]) == (0, 1)
    [(_, reason, detail)] = ahead["refusals"]
    assert (reason, "days ahead" in detail) == ("future_timestamp", True)
    assert source_door.publisher.sent == []
    for value in (0, 1):
        assert (await post(source_door, "rows/-/file", [{**undated, "value": value}], time="1")).json()["events"] == 1
    assert (await post(source_door, "rows/-/retract", b"")).json()["events"] == 1


@pytest.mark.parametrize("path", ["rows", "rows/-/retract", "rows/-/file", "rows/%2d/retract"])
async def test_a_web_page_changes_nothing(source_door: Door, path: str) -> None:
    await post(source_door, "rows", [ROW])
    address, page = f"/api/v1/sources/{path}?time=1", {"origin": "https://evil.test"}
    answer = await source_door.client.post(address, json=[{**ROW, "value": 0}], headers=page)
    assert (answer.status_code, len(source_door.publisher.sent)) == (403, 1)


async def test_everything_that_a_source_said_can_be_taken_back(source_door: Door) -> None:
    await post(source_door, "rows", [ROW])
    assert (await post(source_door, "rows/-/retract", b"")).json()["events"] == 1
    assert json.loads(source_door.publisher.sent[-1].value or b"")["deleted"] is True
    assert (await post(source_door, "stateless/-/retract", b"")).status_code == 422


async def test_a_source_has_a_limit_of_its_own() -> None:
    async with open_door(sources=SOURCES, body_bytes=10, source_body_bytes=1000) as door:
        assert (await post(door, "stateless", [ROW])).status_code == 200
        response = await post(door, "stateless", [ROW] * 20)
        assert response.status_code == 413 and "ingest_source_body_bytes" in response.json()["detail"]


async def test_each_malformed_record_is_a_dead_letter_of_its_own(source_door: Door) -> None:
    odd = [{**ROW, "id": str(number), "at": f"odd {number}"} for number in range(3)]
    response = await post(source_door, "rows", [odd[0], ROW | {"id": "good"}, *odd[1:]])
    assert response.json() == {"events": 1, "skipped": {}, "rejected": 3}
    dead = [sent for sent in source_door.publisher.sent if sent.topic == TOPICS.dead_letters]
    assert [json.loads(sent.value or b"") for sent in dead] == odd
    assert len({sent.key for sent in dead}) == 3
    assert {dict(sent.headers)["alignment-reason"] for sent in dead} == {b"unknown_shape"}


@pytest.mark.parametrize("path", ["rows", "rows/-/file"])
async def test_a_body_of_too_many_parts_is_refused_and_nothing_of_it_is_sent(source_door: Door, path: str) -> None:
    rows = b"\n".join([b"{}"] * (parts.LINES + 2))
    refused = await post(source_door, path, rows, time="1")
    assert (refused.status_code, source_door.publisher.sent) == (413, [])
    assert (await post(source_door, path, [ROW], time="1")).json()["events"] == 1
