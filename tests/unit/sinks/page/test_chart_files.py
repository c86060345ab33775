"""Charts as SVG files that stand alone, and tables as CSV."""

import csv
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from aggregator.facts import Evaluation, Fact
from sinks.api.services import Services
from sinks.page.chart_files import CHARTS, TABLES, chart_style
from sinks.page.urls import queue_path
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

HOSTILE = '=m<script>\x1b"&'
SVG = "{http://www.w3.org/2000/svg}"


def facts() -> list[Fact]:
    hostile = [Evaluation(NOW_MS, f"h{n}", f"trace-{n:04}", HOSTILE, score=n / 40, threshold=0.5, passed=n >= 20)
               for n in range(40)]  # fmt: skip
    return [*sample_queue(NOW_MS), *hostile]


def with_names(store: Store, tmp_path: Path) -> Services:
    """The view of a store, with the names of annotators."""
    services = view_of(store, tmp_path)
    services.config = replace(services.config, show_annotators=True)
    return services


async def ask(store: Store, tmp_path: Path, name: str, **parameters: str) -> httpx.Response:
    fill(store, facts())
    async with connected(with_names(store, tmp_path)) as client:
        return await client.get(queue_path(QUEUE, f"/files/{name}"), params=parameters)


def test_the_style_of_charts_has_no_variables_and_a_colour_for_each_tone() -> None:
    style = chart_style()
    assert "var(" not in style
    assert "light-dark" not in style
    assert ".trusted .m-rate { fill: #0a6f5e; }" in style
    assert ".m-pass { fill: #3a414f; }" in style


@pytest.mark.parametrize("chart", CHARTS)
async def test_a_chart_stands_alone(store: Store, tmp_path: Path, chart: str) -> None:
    response = await ask(store, tmp_path, f"{chart}.svg", depth=HOSTILE, trend=HOSTILE)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml")
    assert response.headers["content-disposition"] == f'attachment; filename="{chart}.svg"'
    assert "style-src 'unsafe-inline'" in response.headers["content-security-policy"]
    image = ET.fromstring(response.text)  # noqa: S314 -- its own text
    assert image.tag == f"{SVG}svg"
    assert image.findtext(f"{SVG}style")
    assert "<script" not in response.text
    assert not re.search(r"""(?:href|src)=["'](?!#)|url\((?!#)""", response.text)
    # Every class that is drawn has a rule, except those that only mark an element.
    drawn = {name for element in image.iter() for name in element.attrib.get("class", "").split()}
    style = str(image.findtext(f"{SVG}style"))
    marks = {"chart", "tick", "trusted", "probation", "untrusted", "undecided"}
    assert {name for name in drawn if not re.search(rf"\.{name}\b", style)} <= marks


@pytest.mark.parametrize("table", TABLES)
async def test_a_table_has_the_numbers_of_the_page(store: Store, tmp_path: Path, table: str) -> None:
    response = await ask(store, tmp_path, f"{table}.csv", depth=HOSTILE)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert rows
    assert all(None not in row and None not in row.values() for row in rows)
    if table == "metrics":
        assert "'" + HOSTILE in {row["metric"] for row in rows}


@pytest.mark.parametrize("name", ["nothing.svg", "versions.svg", "trend.png", "roc.csv"])
async def test_an_unknown_file_is_not_found(store: Store, tmp_path: Path, name: str) -> None:
    assert (await ask(store, tmp_path, name)).status_code == 404


async def test_a_chart_that_a_page_does_not_have_is_not_found(store: Store, tmp_path: Path) -> None:
    fill(store, [Evaluation(NOW_MS, "e", "i", "m", passed=True), *sample_queue(NOW_MS)])
    async with connected(view_of(store, tmp_path)) as client:
        path = queue_path(QUEUE, "/files/trend.svg")
        assert (await client.get(path, params={"criterion": "nobody rated it"})).status_code == 404


async def test_every_download_of_the_page_answers(store: Store, tmp_path: Path) -> None:
    fill(store, facts())
    async with connected(with_names(store, tmp_path)) as client:
        page = read((await client.get(queue_path(QUEUE), params={"window": "30d", "more": "1"})).text)
        links = [link.attributes["href"] for link in page.all("a", class_="file")]
        assert {link.partition("?")[0].rpartition("/")[2] for link in links} == {
            *(f"{chart}.svg" for chart in CHARTS), *(f"{table}.csv" for table in TABLES),
        }  # fmt: skip
        for link in links:
            assert "window=30d" in link
            assert (await client.get(link)).status_code == 200, link
