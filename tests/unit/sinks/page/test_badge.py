"""Badges: what they show, and that only they are served without a token, and only with `public_badges`."""

import asyncio
import threading
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from sinks.access import AccessToken
from sinks.app import create_app
from sinks.store.store import Store
from tests.support.sample_view import NOW_MS, fill, view_of

QUEUE = "a/b"
TOKEN = b"t" * 32
BADGE = "/queues/a%2Fb/badge.svg"
HOSTILE = 'm<script>"&'


def facts() -> list[Fact]:
    """40 items: the metric `good` agrees on 38, `always` passes all, `waits` judges nothing that is annotated."""
    events: list[Fact] = []
    for n in range(40):
        events.append(Annotation(NOW_MS, f"a{n}", QUEUE, f"i{n}", thumbs="up" if n % 2 else "down"))
        events.append(Evaluation(NOW_MS, f"g{n}", f"i{n}", "good", passed=bool(n % 2) != (n < 2)))
        events.append(Evaluation(NOW_MS, f"h{n}", f"i{n}", HOSTILE, passed=True))
    events.append(Annotation(NOW_MS, "t", QUEUE, "i0", criterion="tone", thumbs="up"))
    events.append(Annotation(NOW_MS, "p", "a/b/badge.svg", "secret", thumbs="up"))
    return events


def client_of(store: Store, tmp_path: Path, *, public: bool = False, token: bool = False) -> httpx.AsyncClient:
    fill(store, facts())
    services = view_of(store, tmp_path)
    services.config = replace(services.config, public_badges=public)
    app = create_app(services, [AccessToken("", TOKEN)] if token else ())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.mark.parametrize(
    ("parameters", "words", "colour"),
    [
        ({"metric": "good", "criterion": "overall"}, "good: 95.0%", "#765100"),
        ({"metric": HOSTILE, "criterion": "overall"}, f"{HOSTILE}: 50.0%", "#a8370f"),
        ({"metric": "good", "criterion": "overall", "label": "judge <1>"}, "judge <1>: 95.0%", "#765100"),
        ({"metric": "good", "criterion": "overall", "label": "x" * 90}, f"{'x' * 60}: 95.0%", "#765100"),
        ({"label": "a\0\x1b\ufffe"}, "a\ufffd\ufffd\ufffd: 73.2%", "#0a6f5e"),
        ({}, "alignment: 73.2%", "#0a6f5e"),
    ],
)
async def test_a_badge_shows_alignment_in_the_colour_of_the_gate(
    store: Store, tmp_path: Path, parameters: Mapping[str, str], words: str, colour: str
) -> None:
    async with client_of(store, tmp_path) as client:
        response = await client.get(BADGE, params=dict(parameters))
    assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml")
    assert response.headers["cache-control"] == "no-cache"
    image = ET.fromstring(response.text)  # noqa: S314 -- its own text
    assert image.attrib["aria-label"] == words
    assert image.find("{*}path").attrib["fill"] == colour  # type: ignore[union-attr]
    texts = [text.text for text in image.iter("{http://www.w3.org/2000/svg}text")]
    assert ": ".join(map(str, texts)) == words


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        (f"{BADGE}?metric=good", 400, "criterion: required, because the metric 'good' has several"),
        (f"{BADGE}?criterion=overall", 400, "metric: required with criterion"),
        (f"{BADGE}?metric=no", 404, "metric 'no' not found"),
        (f"{BADGE}?metric=good&criterion=no", 404, "metric 'good' not found in criterion 'no'"),
        ("/queues/no/badge.svg", 404, "queue 'no' not found"),
    ],
)
async def test_an_error_is_no_page_because_a_page_lists_the_queues(
    store: Store, tmp_path: Path, path: str, status: int, detail: str
) -> None:
    async with client_of(store, tmp_path, public=True, token=True) as client:
        response = await client.get(path, headers={"Accept": "text/html"})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["detail"] == detail


@pytest.mark.parametrize(
    ("public", "path", "status"),
    [
        (False, BADGE, 401),
        (True, BADGE, 200),
        (True, f"{BADGE}?metric=good&criterion=overall", 200),
        # Names of queues and tricks with encodings lead to no other page.
        (True, "/queues/a%2Fb%2Fbadge.svg", 401),
        (True, "/queues/a/b/badge.svg", 401),
        (True, "/queues/a%2Fb/badge%2Esvg", 401),
        (True, "/queues/a%2Fb/items?x=/badge.svg", 401),
        (True, "/queues/a%2Fb", 401),
        (True, "/metrics", 401),
        (True, "//queues/a%2Fb/badge.svg", 401),
    ],
)
async def test_only_badges_need_no_token_and_only_with_the_setting(
    store: Store, tmp_path: Path, public: bool, path: str, status: int
) -> None:
    async with client_of(store, tmp_path, public=public, token=True) as client:
        assert (await client.get(path)).status_code == status
        with_token = await client.get(path, headers={"Authorization": f"Bearer {TOKEN.decode()}"})
        assert with_token.status_code != 401


async def test_badges_take_no_thread_of_readers(store: Store, tmp_path: Path) -> None:
    fill(store, facts())
    services = view_of(store, tmp_path)
    gate = threading.Event()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(services)), base_url="http://localhost"
    ) as client:
        slow = [asyncio.create_task(services.badges.run(gate.wait, begun=True)) for _ in range(100)]
        await asyncio.sleep(0)
        assert (await client.get(BADGE)).status_code == 503
        assert (await client.get("/queues/a%2Fb")).status_code == 200
        gate.set()
        await asyncio.gather(*slow)
        assert (await client.get(BADGE)).status_code == 200
