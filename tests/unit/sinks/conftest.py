"""A view of the sample facts, in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sinks.api.services import Services
from sinks.app import create_app
from sinks.store.store import Store
from tests.support.sample_view import FACTS, fill, view_of


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """A view of `FACTS`, caught up."""
    fill(store, FACTS)
    return view_of(store, tmp_path)


@pytest.fixture
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that view."""
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
