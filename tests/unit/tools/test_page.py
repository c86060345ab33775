"""The server of `make page` takes over changes of the page's files."""

from pathlib import Path

import httpx
import pytest

from sinks.page.routes import templates
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_view import FACTS, fill, view_of
from tools import page


async def test_a_changed_file_is_served_with_the_next_request(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, FACTS)
    application = page.ReloadingApp(view_of(store, tmp_path))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://localhost") as client:
        assert "support" in read((await client.get("/")).text).one("main").words
        first = templates()
        await client.get("/")
        assert templates() is first
        monkeypatch.setattr(page, "_last_change", lambda: 0)
        await client.get("/")
        assert templates() is not first
