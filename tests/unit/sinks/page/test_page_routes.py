"""The list of pages that other tests walk has every page."""

from pathlib import PurePosixPath

from sinks.api.services import Services
from sinks.page.routes import Pages
from tests.support.page_routes import PAGES
from tests.support.sample_queue import sample_queue
from tests.support.sample_view import NOW_MS, fill
from tests.unit.sinks.page.conftest import connected


def test_the_list_has_every_route_that_answers_no_file(services: Services) -> None:
    routes = {route.path for route in Pages(services).routes()}
    pages = {path for path in routes if not PurePosixPath(path).suffix and not path.endswith("{name}")}
    assert pages == PAGES.keys()


async def test_every_address_of_the_list_answers_a_page(services: Services) -> None:
    fill(services.store, sample_queue(NOW_MS))
    async with connected(services) as client:
        for path in PAGES.values():
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), path
