"""The OpenAPI document is complete."""

import re

import pytest

from ingest.media import TYPES
from ingest.openapi import STATUSES
from ingest.otlp import OTLP_PATHS, OTLP_TYPES
from tests.support.ingest import Door
from tests.support.tree import ROOT


async def test_it_lists_every_content_type_and_every_status(door: Door) -> None:
    document = (await door.client.get("/openapi.json")).json()
    (operation,) = document["paths"]["/api/v1/events"].values()
    assert operation["requestBody"]["content"].keys() == TYPES.keys()
    raised = set(
        re.findall(
            r"(?:HTTPException|problem)\(\s*(\d{3})",
            " ".join(path.read_text() for path in (*ROOT.glob("ingest/*.py"), ROOT / "sinks" / "access.py")),
        )
    )
    assert {*map(int, raised)} - {404} <= STATUSES.keys()
    assert {*map(int, operation["responses"])} == STATUSES.keys()


@pytest.mark.parametrize("path", OTLP_PATHS)
async def test_it_lists_what_otlp_takes_and_answers(door: Door, path: str) -> None:
    document = (await door.client.get("/openapi.json")).json()
    (operation,) = document["paths"][path].values()
    assert operation["requestBody"]["content"].keys() == OTLP_TYPES.keys()
    assert {*map(int, operation["responses"])} == (STATUSES.keys() | {404}) - {207, 422}


@pytest.mark.parametrize("path", ["/api/v1/sources/{name}", "/api/v1/sources/{name}/{path}"])
async def test_it_lists_what_webhooks_are_answered(door: Door, path: str) -> None:
    document = (await door.client.get("/openapi.json")).json()
    (operation,) = document["paths"][path].values()
    assert {*map(int, operation["responses"])} == (STATUSES.keys() | {404}) - {207}
    named = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
    assert "".join(f"/{{{name}}}" for name in named) == path.removeprefix("/api/v1/sources")


async def test_its_references_exist(door: Door) -> None:
    text = (await door.client.get("/openapi.json")).text
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert names <= (await door.client.get("/openapi.json")).json()["components"]["schemas"].keys()
    assert {"IngestAnswer", "annotation", "evaluation", "queue_item", "problem", "status", "RecordsAnswer"} <= names
