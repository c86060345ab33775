"""Pages of the view of `FACTS`, and of views that a test creates."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from sinks.api.services import Services
from sinks.app import create_app
from tests.support.html import Element, read

Get = Callable[[str], Awaitable[Element]]


def connected(services: Services) -> httpx.AsyncClient:
    """A client of a view."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(services)), base_url="http://localhost")


@pytest.fixture
async def page(services: Services) -> AsyncIterator[Get]:
    """A function that returns the tree of a page with status 200."""
    async with connected(services) as client:

        async def get(path: str) -> Element:
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            return read(answer.text)

        yield get
