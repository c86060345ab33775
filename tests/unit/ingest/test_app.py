"""The contract of `POST /api/v1/events`: statuses, indexes, warnings and access."""

import json
import tracemalloc

import pytest

from sinks.access import AccessToken
from streams.events.decoder import Decoder, Rejection
from tests.support.ingest import AT, NOW_MS, TOPICS, Door, annotation, evaluation, lines, open_door

TOKEN = AccessToken("tool", b"0123456789abcdef0123456789abcdef")


ANSWER_OF_NOTHING = {"accepted": 0, "rejected": [], "warnings": []}


async def test_every_kind_goes_to_its_topic_unchanged_with_its_item_as_the_key(door: Door) -> None:
    queue_item = {"kind": "queue_item", "id": "q1", "at": AT, "queue": "support", "item": "i2"}
    body = ",\n  ".join(json.dumps(event) for event in (annotation(), evaluation(item="ï"), queue_item)).join("[]")
    answer = await door.send(body, "application/json")
    assert (answer.status_code, answer.json()) == (200, {**ANSWER_OF_NOTHING, "accepted": 3})
    assert [(record.topic, record.key, record.value) for record in door.publisher.sent] == [
        (TOPICS.annotations, b"i1", json.dumps(annotation()).encode()),
        (TOPICS.evaluations, "ï".encode(), json.dumps(evaluation(item="ï")).encode()),
        (TOPICS.queue_items, b"i2", json.dumps(queue_item).encode()),
    ]
    decoder = Decoder()
    for record in door.publisher.sent:
        kind = TOPICS.sources[record.topic]
        assert not isinstance(decoder.decode(kind, record.value, record.key, record.headers, NOW_MS), Rejection)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "text/plain",
        None,
        "",
        "application/x-ndjson",
    ],
)
@pytest.mark.parametrize("many", [False, True])
async def test_parameters_and_case_of_the_type_and_what_curl_calls_it_do_not_matter(
    door: Door, content_type: str | None, many: bool
) -> None:
    body = json.dumps([annotation(), evaluation()]) if many else json.dumps(annotation())
    answer = await door.send(body, content_type)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1 + many)


@pytest.mark.parametrize(
    "content_type", ["application/x-ndjson", "application/jsonl", "application/json", "text/plain", None]
)
async def test_ndjson_with_blank_lines_crlf_a_byte_order_mark_and_no_last_newline(
    door: Door, content_type: str | None
) -> None:
    body = (
        b"\xef\xbb\xbf\r\n"
        + lines(annotation()).replace("\n", "\r\n").encode()
        + b"\r\n  \n"
        + json.dumps(evaluation()).encode()
    )
    answer = await door.send(body, content_type)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)
    assert [record.value for record in door.publisher.sent] == [
        json.dumps(annotation()).encode(),
        json.dumps(evaluation()).encode(),
    ]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json", None])
async def test_a_broken_line_is_one_rejected_event_with_its_index_and_its_line(
    door: Door, content_type: str | None
) -> None:
    body = f'{json.dumps(annotation())}\n\n{{"id": "b\n{lines(evaluation(), annotation("a2", thumbs=1))}'
    answer = await door.send(body, content_type)
    assert answer.status_code == 207
    assert answer.json()["accepted"] == 2
    first, second = answer.json()["rejected"]
    assert first == {"index": 1, "line": 3, "id": None, "reason": "malformed", "detail": "the JSON is incomplete"}
    assert (second["index"], second["line"], second["id"], second["reason"]) == (3, 5, "a2", "invalid_field")
    assert len(door.publisher.sent) == 2


async def test_an_index_of_an_array_counts_from_0_and_has_no_line(door: Door) -> None:
    answer = await door.send(json.dumps([annotation(), {"id": "x"}, 7, None, evaluation("e2", score="0.8")]))
    assert answer.status_code == 207
    assert [(found["index"], found["id"], found["reason"], "line" in found) for found in answer.json()["rejected"]] == [
        (1, "x", "missing_field", False),
        (2, None, "invalid_field", False),
        (3, None, "invalid_field", False),
        (4, "e2", "invalid_field", False),
    ]


async def test_422_when_no_event_is_accepted(door: Door) -> None:
    answer = await door.send(json.dumps(annotation(thumbs="left")))
    assert (answer.status_code, answer.json()["accepted"], len(answer.json()["rejected"])) == (422, 0, 1)
    assert door.publisher.sent == []


async def test_an_empty_array_is_a_success(door: Door) -> None:
    for body in ("[]", " [\n] "):
        answer = await door.send(body)
        assert (answer.status_code, answer.json()) == (200, ANSWER_OF_NOTHING)


async def test_an_event_that_is_too_large_is_rejected_alone(door: Door) -> None:
    events = [annotation(), annotation("big", explanation="x" * (256 << 10)), evaluation()]
    for body in (json.dumps(events), lines(*events)):
        answer = await door.send(body)
        assert (answer.status_code, answer.json()["accepted"]) == (207, 2)
        (rejected,) = answer.json()["rejected"]
        assert (rejected["index"], rejected["id"], rejected["reason"]) == (1, "big", "oversized")


async def test_what_the_decoder_explains_is_explained_in_an_array_too(door: Door) -> None:
    body = f'[{json.dumps(annotation())}, {json.dumps(evaluation("e2", score=float("nan")))}, {{"id":"x\\ud83d"}}]'
    answer = await door.send(body)
    assert answer.status_code == 207
    nan, _ = answer.json()["rejected"]
    assert (nan["index"], nan["reason"]) == (1, "invalid_field")
    assert "score is NaN" in nan["detail"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        " \n\n ",
        "{",
        "[",
        "[1",
        '{"a":1}x',
        "[] []",
        '[{"a":1}',
        '["',
        '["\\"\\"\\"',
        "[{]}",
        "nothing",
        "{}{}",
        "\x00",
        "[,]",
        '[{"a":1},]',
    ],
)
async def test_400_for_a_body_that_is_empty_or_no_json(door: Door, body: str) -> None:
    answer = await door.send(body, "application/json")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert door.publisher.sent == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("content_type", ["application/json; charset=utf-16", "application/x-ndjson", None])
async def test_another_encoding_is_named(door: Door, encoding: str, content_type: str | None) -> None:
    answer = await door.send(json.dumps(annotation()).encode(encoding), content_type)
    assert (answer.status_code, "expected UTF-8" in answer.json()["detail"]) == (400, True)


async def test_objects_whose_line_breaks_curl_removed_name_the_option_that_keeps_them(door: Door) -> None:
    answer = await door.send(json.dumps(annotation()) + json.dumps(evaluation()))
    assert (answer.status_code, "--data-binary" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("content_type", ["text/csv", "application/x-www-form-urlencoded", "", None])
async def test_415_names_the_types_that_are_taken(door: Door, content_type: str | None) -> None:
    answer = await door.send("item,human\ni1,pass", content_type)
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
    assert "application/json, application/x-ndjson" in answer.json()["detail"]


async def test_unknown_fields_are_one_warning_each_at_their_first_event(door: Door) -> None:
    events = [annotation(), annotation("a2", annotater="ann"), annotation("a3", annotater="ann", zzzz=1)]
    assert (await door.send(json.dumps(events))).json() == {
        "accepted": 3,
        "rejected": [],
        "warnings": [
            {
                "index": 1,
                "id": "a2",
                "message": "unknown field `annotater` is ignored in 2 annotations: did you mean `annotator`?",
            },
            {"index": 2, "id": "a3", "message": "unknown field `zzzz` is ignored in 1 annotation"},
        ],
    }


async def test_one_version_with_two_contents_is_a_warning(door: Door) -> None:
    events = [annotation(), annotation(), annotation(thumbs="down"), annotation(item="i2"), evaluation("a1")]
    answer = (await door.send(lines(*events))).json()
    (warning,) = answer["warnings"]
    assert (answer["accepted"], warning["index"], warning["line"], warning["id"]) == (5, 2, 3, "a1")
    assert "event 0" in warning["message"]


async def test_an_answer_stays_small(door: Door) -> None:
    events = [annotation() | {"thumbs": ("up", "down")[number % 2], f"x{number}": 1} for number in range(500)]
    assert len((await door.send(json.dumps(events))).json()["warnings"]) == 40


async def test_a_token_is_required_and_its_name_is_counted() -> None:
    async with open_door([TOKEN]) as door:
        body = json.dumps([annotation(), {"id": "x"}])
        refused = await door.send(body)
        assert (refused.status_code, door.publisher.sent) == (401, [])
        assert (await door.send(body, authorization=f"Bearer {TOKEN.token.decode()}")).status_code == 207
        assert door.metric("events_accepted_total", sender="tool") == 1
        assert door.metric("events_rejected_total", sender="tool", reason="missing_field") == 1
        assert [door.metric("responses_total", status=status) for status in ("207", "401")] == [1, 1]
        assert door.metric("bytes_total") == len(body)
        for path in ("/healthz", "/readyz"):
            assert (await door.client.get(path, headers={"host": "10.0.0.9"})).status_code == 200
        assert (await door.client.get("/metrics")).status_code == 401


async def test_pages_of_other_sites_cannot_send_events(door: Door) -> None:
    answer = await door.send(json.dumps(annotation()), "text/plain", origin="https://evil.test")
    assert (answer.status_code, door.publisher.sent) == (403, [])
    assert "access-control-allow-origin" not in answer.headers
    assert (await door.send(json.dumps(annotation()), host="evil.test")).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api/v1/events", 405, "POST"),
        ("PUT", "/api/v1/events", 405, "GET, HEAD, POST"),
        ("OPTIONS", "/api/v1/events", 405, "GET, HEAD, POST"),
        ("POST", "/metrics", 405, None),
        ("POST", "/api/v1/events/", 404, None),
        ("GET", "/", 404, None),
    ],
)
async def test_other_methods_and_paths_are_problems(
    door: Door, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = await door.client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    if allow is not None:
        assert answer.headers["allow"] == allow
        assert answer.json()["detail"] == f"method not allowed: only {allow}"


async def test_an_id_that_is_not_a_text_takes_no_memory_and_is_none(door: Door) -> None:
    body = b'{"id":[' + b"[]," * 100_000 + b"[]]}"
    tracemalloc.start()
    try:
        answer = await door.send(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (answer.status_code, answer.json()["rejected"][0]["id"]) == (422, None)
    assert peak < 10 * len(body)
