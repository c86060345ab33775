"""Webhooks need the token of ingest or the secret of their source, and nothing is kept of others."""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest.signatures import SecretFileError
from ingest.source_access import is_pushed
from sinks.access import AccessToken
from tests.support.ingest import TOPICS, Door, annotation, open_door
from tests.support.signed import signed
from tests.support.sources import tool_source

TOKEN = "0123456789abcdef0123456789abcdef"
TOKENS = (AccessToken("tool", TOKEN.encode()),)
BEARER = {"authorization": f"Bearer {TOKEN}"}
SECRET = "an-invented-secret-of-40-bytes-in-header"
WHSEC = "whsec_YW4gaW52ZW50ZWQga2V5IG9mIDMyIGJ5dGVzIGhlcmU="
ROWS: dict[str, Any] = {
    "queue": "support",
    "criteria": {"resolved": {"rating": "thumbs"}},
    "columns": {"item": "item", "criterion": "name", "rating": "value", "at": "at"},
}
ROW = {"item": "i1", "name": "resolved", "value": 1, "at": "2026-09-21T14:00:00Z"}
BODY = json.dumps([ROW]).encode()


@asynccontextmanager
async def webhooks(directory: Path, *tokens: AccessToken, **limits: Any) -> AsyncIterator[Door]:
    """Sources without a secret, with a shared one, and with one that signs."""
    (directory / "shared").write_text(SECRET)
    (directory / "signed").write_text(f"{WHSEC}\n")
    sources = {
        "open": tool_source("json", **ROWS, id_prefix="open"),
        "shared": tool_source("json", **ROWS, id_prefix="shared", secret_file=str(directory / "shared")),
        "signed": tool_source(
            "json", **ROWS, id_prefix="signed", secret_file=str(directory / "signed"), scheme="standard"
        ),
    }
    async with open_door(tokens, sources=sources, **limits) as door:
        yield door


async def post(
    door: Door, path: str, headers: Mapping[str, str] | None = None, *, body: bytes = BODY
) -> httpx.Response:
    return await door.client.post(f"/api/v1/sources/{path}", content=body, headers=headers)


@pytest.mark.parametrize("path", ["shared", "shared/v1/annotations"])
async def test_a_shared_secret_stands_for_the_token(tmp_path: Path, path: str) -> None:
    async with webhooks(tmp_path, *TOKENS) as door:
        assert (await post(door, path, {"authorization": f"Bearer {SECRET}"})).json()["events"] == 1
        assert (await post(door, path, {"authorization": SECRET})).json()["events"] == 1
        assert (await post(door, path, BEARER)).json()["events"] == 1


async def test_a_signature_stands_for_the_token(tmp_path: Path) -> None:
    async with webhooks(tmp_path, *TOKENS) as door:
        assert (await post(door, "signed", signed(WHSEC, BODY))).json()["events"] == 1
        packed = {"content-encoding": "gzip", **signed(WHSEC, BODY)}
        assert (await post(door, "signed", packed, body=gzip.compress(BODY))).json()["events"] == 1
        assert (await post(door, "signed", BEARER)).json()["events"] == 1


@pytest.mark.parametrize("tokens", [(), TOKENS])
async def test_a_wrong_secret_is_refused_and_nothing_is_kept(
    tmp_path: Path, tokens: tuple[AccessToken, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with webhooks(tmp_path, *tokens) as door:
        late = signed(WHSEC, BODY, time.time() - 400)
        refused = [
            await post(door, "shared"),
            await post(door, "shared", {"authorization": f"Bearer {SECRET}x"}),
            await post(door, f"shared?token={SECRET}&access_token={SECRET}&secret={SECRET}"),
            await post(door, "shared", {"x-secret": SECRET}),
            await post(door, "shared", body=b"no JSON"),
            await post(door, "signed"),
            await post(door, "signed", {"authorization": f"Bearer {WHSEC}"}),
            await post(door, "signed", late),
            await post(door, "signed", signed(WHSEC, BODY), body=BODY + b" "),
            await post(door, "signed", signed(WHSEC, BODY), body=b"no JSON"),
        ]
        assert [response.status_code for response in refused] == [401] * len(refused)
        for response in refused:
            assert "www-authenticate" in response.headers
            assert response.json()["detail"].startswith("webhook of source ")
            assert SECRET not in response.text and WHSEC not in response.text
        assert door.publisher.sent == []
        assert door.metric("responses_total", status="401") == len(refused)
        assert door.metric("bytes_total") <= 3 * len(BODY)
        name, labels = "eval_alignment_http_refused_total", {"reason": "webhook"}
        assert door.metrics.registry.get_sample_value(name, labels) == len(refused)
    logged = [record for record in caplog.records if record.getMessage() == "webhook refused"]
    reasons = [(vars(record)["source"], vars(record)["reason"]) for record in logged]
    assert len(set(reasons)) == len(reasons) < len(refused), "each reason once"
    assert {source for source, _ in reasons} == {"shared", "signed"}
    text = " ".join(str(record.__dict__) for record in logged)
    assert SECRET not in text and WHSEC not in text and "resolved" not in text


async def test_a_source_without_a_secret_needs_the_token(tmp_path: Path) -> None:
    async with webhooks(tmp_path, *TOKENS) as door:
        for path in ("open", "open/v1/x"):
            assert (await post(door, path)).status_code == 401
            assert (await post(door, path, {"authorization": f"Bearer {SECRET}"})).status_code == 401
            assert (await post(door, path, BEARER)).json()["events"] == 1
    async with webhooks(tmp_path) as door:
        assert (await post(door, "open")).json()["events"] == 1


async def test_names_of_sources_are_shown_only_to_who_has_the_token(tmp_path: Path) -> None:
    async with webhooks(tmp_path, *TOKENS) as door:
        response = await post(door, "none")
        assert response.status_code == 401 and "shared" not in response.text
        assert (await post(door, "none", BEARER)).status_code == 404


@pytest.mark.parametrize("path", ["shared/-/file?time=1", "shared/-/retract", "shared/-", "open/-/retract", "a/../-/x"])
async def test_the_secret_of_a_source_does_not_open_the_paths_of_the_command(tmp_path: Path, path: str) -> None:
    async with webhooks(tmp_path, *TOKENS) as door:
        assert (await post(door, path, {"authorization": f"Bearer {SECRET}"})).status_code == 401
        assert (await post(door, path.replace("/-", "%2F-"), {"authorization": f"Bearer {SECRET}"})).status_code == 401


async def test_the_secret_of_a_source_opens_nothing_else(tmp_path: Path) -> None:
    async with webhooks(tmp_path, *TOKENS) as door:
        headers = {"authorization": f"Bearer {SECRET}"}
        for path in ("/api/v1/events", "/v1/logs", "/v1/traces", "/api/v1/sources/open", "/api/v1/sources/signed"):
            assert (await door.client.post(path, content=BODY, headers=headers)).status_code == 401
        for path in ("/metrics", "/openapi.json", "/api/v1/sources/"):
            assert (await door.client.get(path, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("path", "pushed"),
    [
        ("/api/v1/sources/a", True),
        ("/api/v1/sources/a/", True),
        ("/api/v1/sources/a/v1/x", True),
        ("/api/v1/sources/a/x/-/y", True),
        ("/api/v1/sources/a/-", False),
        ("/api/v1/sources/a/-/file", False),
        ("/api/v1/sources/", False),
        ("/api/v1/sources//-/file", False),
        ("/api/v1/sources", False),
        ("/api/v1/events", False),
        ("/metrics", False),
        ("/x/api/v1/sources/a", False),
    ],
)
def test_only_paths_of_webhooks_are_open_to_them(path: str, pushed: bool) -> None:
    assert is_pushed(path) is pushed


async def test_a_refused_webhook_is_read_only_when_its_headers_are_fresh(tmp_path: Path) -> None:
    async with webhooks(tmp_path, *TOKENS, body_bytes=len(BODY)) as door:
        big = b"x" * 1000
        assert (await post(door, "signed", signed(WHSEC, big, time.time() - 400), body=big)).status_code == 401
        assert (await post(door, "shared", body=big)).status_code == 401
        assert (await post(door, "signed", signed(WHSEC, big), body=big)).status_code == 413


async def test_a_large_body_is_verified_with_the_same_result(tmp_path: Path) -> None:
    body = json.dumps([ROW] * 500).encode()
    async with webhooks(tmp_path, *TOKENS) as door:
        assert (await post(door, "signed", signed(WHSEC, body), body=body)).status_code == 200
        assert (await post(door, "signed", signed(WHSEC, body), body=body[:-1] + b" ")).status_code == 401


async def test_dead_letters_have_no_header_of_the_request(tmp_path: Path) -> None:
    async with webhooks(tmp_path, *TOKENS) as door:
        headers = {**signed(WHSEC, b"no JSON"), "cookie": "private", "x-other": "private"}
        assert (await post(door, "signed", headers, body=b"no JSON")).status_code == 422
        assert (await post(door, "shared", {"authorization": f"Bearer {SECRET}"}, body=b"no JSON")).status_code == 422
        for sent in door.publisher.sent:
            assert sent.topic == TOPICS.dead_letters
            assert {name for name, _ in sent.headers if not name.startswith("alignment-")} == set()
            text = str(sent.headers)
            assert not [secret for secret in (SECRET, "private", headers["webhook-signature"]) if secret in text]


async def test_pages_of_other_sites_are_refused(tmp_path: Path) -> None:
    async with webhooks(tmp_path) as door:
        assert (await post(door, "open", {"origin": "https://example.org"})).status_code == 403
        assert door.publisher.sent == []


async def test_an_unusable_secret_ends_the_start(tmp_path: Path) -> None:
    sources = {"a": tool_source("json", **ROWS, secret_file=str(tmp_path / "none"))}
    with pytest.raises(SecretFileError, match=r"sources\.a\.secret_file"):
        async with open_door(sources=sources):
            pass


async def test_webhooks_that_are_not_verified_leave_room_for_senders_with_a_token(tmp_path: Path) -> None:
    over, read = asyncio.Event(), asyncio.Semaphore(0)

    async def endless() -> AsyncIterator[bytes]:
        yield b" " * (1 << 20)
        read.release()
        await over.wait()

    async def forged(door: Door) -> int:
        answer = await door.client.post("/api/v1/sources/signed", content=endless(), headers=signed(WHSEC, b"other"))
        return answer.status_code

    large = json.dumps([annotation(explanation="x" * 1_000)] * 800)
    async with webhooks(tmp_path, *TOKENS, body_bytes=1 << 20, in_flight_bytes=4 << 20) as door:
        held = [asyncio.create_task(forged(door)) for _ in range(2)]
        for _ in held:
            await read.acquire()
        assert await forged(door) == 429
        assert (await door.client.post("/api/v1/events", content=large, headers=BEARER)).status_code == 200
        over.set()
        assert await asyncio.gather(*held) == [401, 401]
        assert door.metric("in_flight_bytes") == 0


async def test_webhooks_that_are_not_verified_are_unpacked_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their senders are not known yet, and few bytes may become many."""
    begun, over, unpacked = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def gunzip(packed: bytes, limit: int) -> bytes:
        body = gzip.decompress(packed)
        unpacked.append(body)
        if body == BODY:
            loop.call_soon_threadsafe(begun.set)
            over.wait()
        return body[:limit]

    monkeypatch.setattr("ingest.body._gunzip", gunzip)
    event = json.dumps(annotation()).encode()
    packed = {"content-encoding": "gzip"}
    async with webhooks(tmp_path, *TOKENS) as door:
        forged = {**packed, **signed(WHSEC, b"other")}
        refused = [asyncio.create_task(post(door, "signed", forged, body=gzip.compress(BODY))) for _ in range(3)]
        try:
            await begun.wait()
            sent = await door.client.post("/api/v1/events", content=gzip.compress(event), headers={**packed, **BEARER})
            assert (sent.status_code, unpacked) == (200, [BODY, event])
        finally:
            over.set()
        assert [answer.status_code for answer in await asyncio.gather(*refused)] == [401] * 3
