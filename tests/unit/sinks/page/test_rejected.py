"""The banner of rejected events on the page, its field in the API, and the page of reasons."""

import re
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from sinks.api.services import Services
from streams.events.reasons import Reason
from streams.kafka.dead_letter_tail import DeadLetterHeaders, read_headers
from tests.support.sample_view import NOW_MS


def note(services: Services, reason: str, events: int) -> None:
    for _ in range(events):
        services.rejections.note(NOW_MS - 60_000, reason, NOW_MS)


def shown(text: str) -> str:
    _, _, banner = text.partition('data-key="rejected"><b>Rejected</b>')
    return re.sub("<[^>]*>", "", banner.partition("</p>")[0]).strip()


@pytest.mark.parametrize("path", ["/", "/queues/support", "/queues/support/items"])
async def test_every_page_says_how_many_were_rejected_and_links_the_reason(
    client: httpx.AsyncClient, services: Services, path: str
) -> None:
    assert "Rejected</b>" not in (await client.get(path)).text
    note(services, "misrouted", 70)
    text = (await client.get(path)).text
    assert shown(text) == ("70 events were rejected in the last hour and are not counted: misrouted. See how to fix it")
    assert 'href="/reasons#misrouted"' in text
    note(services, "malformed", 1_200)
    assert shown((await client.get(path)).text) == (
        "1,270 events were rejected in the last hour and are not counted: 1,200 malformed, 70 misrouted. "
        "See how to fix them"
    )


async def test_the_api_has_the_numbers(client: httpx.AsyncClient, services: Services) -> None:
    assert (await client.get("/readyz")).json()["rejected_last_hour"] == {}
    note(services, "misrouted", 2)
    assert (await client.get("/readyz")).json()["rejected_last_hour"] == {"misrouted": 2}


async def test_the_page_of_reasons_explains_each(client: httpx.AsyncClient) -> None:
    text = (await client.get("/reasons")).text
    for reason in Reason:
        assert f'id="{reason.value}"' in text
    assert "<code>partitioner=murmur2_random</code>" in text
    assert "`" not in text.partition("<main")[2]


def test_headers_that_an_event_had_are_not_taken_for_those_of_its_dead_letter() -> None:
    record: Any = SimpleNamespace(
        timestamp=5,
        headers=[
            ("alignment-reason", b"forged"),
            ("alignment-topic", b"t"),
            ("alignment-partition", b"3"),
            ("alignment-offset", b"7"),
            ("alignment-reason", b"misrouted"),
            ("alignment-detail", b"\xff"),
        ],
    )
    assert read_headers(record) == DeadLetterHeaders(5, "t", "t:3:7", "misrouted", "\ufffd")
    assert read_headers(SimpleNamespace(timestamp=5, headers=[("a", None)])) is None
