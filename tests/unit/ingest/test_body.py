"""Encodings of a body, and the limits of requests."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from ingest.body import _gunzip, _unzstd, read_body
from ingest.config import Limits
from ingest.limits import Budget, Reservation
from tests.support.ingest import Door, annotation, lines, open_door, packed


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "zstd", "identity, gzip"])
async def test_bodies_may_be_packed(door: Door, encoding: str) -> None:
    body = packed(json.dumps(annotation()).encode(), encoding.lower())
    answer = await door.send(body, "application/json; charset=utf-8", content_encoding=encoding)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_400_for_a_corrupt_or_incomplete_packed_body(door: Door, encoding: str) -> None:
    whole = packed(json.dumps([annotation()] * 50).encode(), encoding)
    for body in (b"", b"{}", whole[:-3], whole[:2], whole + b"junk", b"\xff" + whole[1:]):
        answer = await door.send(body, content_encoding=encoding)
        assert answer.status_code == 400, body
        assert encoding in answer.json()["detail"]


async def test_several_members_of_a_packed_body_are_one_body(door: Door) -> None:
    events = [lines(annotation(str(number))).encode() for number in range(3)]
    for encoding in ("gzip", "zstd"):
        body = b"".join(packed(event, encoding) for event in events)
        assert (await door.send(body, content_encoding=encoding)).json()["accepted"] == 3


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "lz4"])
async def test_415_names_the_encodings_that_are_taken(door: Door, encoding: str) -> None:
    answer = await door.send(b"{}", content_encoding=encoding)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, zstd")
    assert "gzip, zstd" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", [None, "gzip", "zstd"])
async def test_413_for_more_bytes_than_allowed_of_which_nothing_is_sent(encoding: str | None) -> None:
    body = lines(*[annotation(str(number)) for number in range(20)]).encode()
    headers = {} if encoding is None else {"content_encoding": encoding}
    content = body if encoding is None else packed(body, encoding)
    async with open_door(body_bytes=len(body)) as door:
        assert (await door.send(content, **headers)).json()["accepted"] == 20
        door.publisher.sent.clear()
    async with open_door(body_bytes=len(body) - 1) as door:
        answer = await door.send(content, **headers)
        assert (answer.status_code, door.publisher.sent) == (413, [])
        assert f"{len(body) - 1:,} bytes" in answer.json()["detail"]


@pytest.mark.parametrize("unpack_body", [_gunzip, _unzstd])
def test_no_more_is_unpacked_than_the_limit_needs(unpack_body: Callable[[bytes, int], bytes | None]) -> None:
    bomb = packed(b" " * (32 << 20), "gzip" if unpack_body is _gunzip else "zstd")
    assert unpack_body(bomb, 99) == b" " * 100


async def test_413_by_its_length_alone_before_a_body_is_read() -> None:
    async def receive() -> Message:
        raise AssertionError("the body is read")

    with pytest.raises(HTTPException, match="larger than"):
        await read_body(receive, "101", Limits(body_bytes=100), Reservation(Budget(1000)))


async def test_a_packed_body_holds_as_many_bytes_as_it_unpacks_to() -> None:
    body = json.dumps([annotation(str(number)) for number in range(100)]).encode()
    for encoding in ("gzip", "zstd"):
        async with open_door() as door:
            door.publisher.gate = asyncio.Event()
            sending = asyncio.create_task(door.send(packed(body, encoding), content_encoding=encoding))
            await door.publisher.waiting.wait()
            assert door.metric("in_flight_bytes") == len(body)
            door.publisher.gate.set()
            assert (await sending).status_code == 200


async def test_413_for_a_body_without_a_length(door: Door) -> None:
    async def chunks() -> Any:
        for _ in range(9):
            yield b" " * (1 << 20)

    answer = await door.client.post("/api/v1/events", content=chunks())
    assert answer.status_code == 413
    assert door.metric("in_flight_bytes") == 0


async def test_413_for_more_events_than_allowed_of_which_nothing_is_sent() -> None:
    async with open_door(events=3) as door:
        for events in ([annotation(str(n)) for n in range(4)], [1] * 1000):
            for body in (json.dumps(events), "\n".join(json.dumps(event) for event in events)):
                answer = await door.send(body, "application/x-ndjson" if body[0] == "1" else None)
                assert (answer.status_code, door.publisher.sent) == (413, [])
        assert (await door.send(json.dumps([annotation()] * 3))).status_code == 200


async def test_408_for_a_body_that_does_not_arrive() -> None:
    async def stuck() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    async with open_door(body_seconds=0.05) as door:
        answer = await door.client.post("/api/v1/events", content=stuck())
        assert (answer.status_code, answer.headers["content-type"]) == (408, "application/problem+json")
        assert door.metric("in_flight_bytes") == 0


async def test_429_when_the_bytes_in_flight_are_used_up() -> None:
    body = json.dumps(annotation())
    async with open_door(body_bytes=len(body), in_flight_bytes=len(body) + 10) as door:
        door.publisher.gate = asyncio.Event()
        first = asyncio.create_task(door.send(body))
        await door.publisher.waiting.wait()
        assert door.metric("in_flight_bytes") == len(body)
        answer = await door.send(body)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        door.publisher.gate.set()
        assert (await first).status_code == 200
        assert (await door.send(body)).status_code == 200
        assert door.metric("in_flight_bytes") == 0


def test_unpacking_takes_time_in_proportion_to_the_number_of_members() -> None:
    member = packed(b"", "gzip")

    def seconds(members: int) -> float:
        began = time.thread_time()
        assert _gunzip(member * members, 1) is not None
        return time.thread_time() - began

    assert seconds(80_000) < 10 * seconds(20_000)


@pytest.mark.parametrize("limit", range(12))
def test_no_more_than_one_byte_beyond_the_limit_is_unpacked(limit: int) -> None:
    body = packed(b"0123456789", "gzip") + b"\0" * 3 + packed(b"x", "gzip") + b"\0" * 2
    assert bytes(_gunzip(body, limit) or b"") == b"0123456789x"[: limit + 1]
