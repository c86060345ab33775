"""Paths that no route serves, and the links at the foot of each page."""

import httpx
import pytest

from tests.support.html import read

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/nowhere", "/queues", "/queues/", "/queues/support/nowhere", "/Queues/support"])
async def test_an_unknown_path_answers_a_browser_with_a_page(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    page = read(answer.text)
    assert page.one("h1").words == "Page not found"
    assert path in page.one("main").words


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_an_unknown_path_answers_a_program_with_a_problem(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get("/nowhere?x=1", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == "path '/nowhere' not found: /openapi.json lists the paths of the HTTP API"


@pytest.mark.parametrize("path", ["/api/v1/", "/api/", "/api/v1/queues/support/nowhere", "/api/v2/queues"])
async def test_an_unknown_path_of_the_api_names_the_openapi_document(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "/openapi.json" in answer.json()["detail"]


async def test_an_unknown_queue_is_not_found_by_api_and_page(client: httpx.AsyncClient) -> None:
    problem = (await client.get("/api/v1/queues/nobody")).json()
    assert problem["detail"] == "queue 'nobody' not found"
    page = await client.get("/queues/nobody", headers=BROWSER)
    assert (page.status_code, "Queue 'nobody' not found." in read(page.text).one("main").words) == (404, True)


@pytest.mark.parametrize("path", ["/", "/queues/support", "/queues/support/items", "/glossary", "/queues/nobody"])
async def test_the_foot_of_a_page_links_to_glossary_and_api(client: httpx.AsyncClient, path: str) -> None:
    foot = read((await client.get(path)).text).one("footer", class_="foot")
    links = [link.attributes["href"] for link in foot.all("a")]
    assert links == ["/glossary", "/openapi.json", "/metrics"]
    for link in links:
        assert (await client.get(link)).status_code == 200
