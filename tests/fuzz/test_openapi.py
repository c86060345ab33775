"""The fuzzer of OpenAPI documents: what is a finding for it, and that it reaches every operation."""

import time
from collections.abc import Iterator

import pytest
import schemathesis
from schemathesis import GenerationMode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fuzz.http import FindingError
from tests.fuzz.openapi import Target, targets


def target(answer: Response, judged: bool = True) -> Target:
    """A service whose only operation takes a number of at most 9, and returns an object with a number."""
    number = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
    parameter = {"name": "n", "in": "query", "required": True, "schema": {"type": "integer", "maximum": 9}}
    content = {"application/json": {"schema": number}}
    responses = {str(status): {"description": "", "content": content} for status in (200, 400)}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "", "version": "1"},
        "paths": {"/it": {"get": {"parameters": [parameter], "responses": responses}}},
    }

    async def it(_: Request) -> Response:
        return answer

    return Target(schemathesis.openapi.from_dict(document), app=Starlette(routes=[Route("/it", it)]), judged=judged)


def attack(service: Target, mode: GenerationMode) -> None:
    for operation, each in service.operations():
        if each is mode:
            service.attack(operation, each, time.monotonic() + 60)


RIGHT = {"number": 1}


@pytest.mark.parametrize(
    ("answer", "mode", "finding"),
    [
        (JSONResponse(RIGHT, 500), GenerationMode.POSITIVE, "Server error"),
        (JSONResponse(RIGHT, 201), GenerationMode.POSITIVE, "status code"),
        (JSONResponse({"number": "1"}), GenerationMode.POSITIVE, "violates schema"),
        (Response(b"{}", media_type="text/plain"), GenerationMode.POSITIVE, "Content-Type"),
        (JSONResponse(RIGHT, 400), GenerationMode.POSITIVE, "Schema-valid request rejected"),
        (JSONResponse(RIGHT), GenerationMode.NEGATIVE, "Schema-violating request accepted"),
    ],
)
def test_what_a_document_does_not_promise_is_a_finding(answer: Response, mode: GenerationMode, finding: str) -> None:
    with pytest.raises(FindingError, match=finding):
        attack(target(answer), mode)


@pytest.mark.parametrize("mode", GenerationMode)
def test_a_service_that_judges_bodies_by_rules_of_its_own_may_accept_and_refuse(mode: GenerationMode) -> None:
    for status in (200, 400):
        attack(target(JSONResponse(RIGHT, status), judged=False), mode)


@pytest.fixture(scope="module")
def services() -> Iterator[list[Target]]:
    with targets() as services:
        yield services


@pytest.mark.slow
def test_it_reaches_every_operation(services: list[Target]) -> None:
    for service in services:
        operations = list(service.operations())
        for operation, mode in operations:
            service.attack(operation, mode, time.monotonic() + 1)
        assert {label for label, _, _ in service.statuses} == {operation.label for operation, _ in operations}
        assert {200, 400, 404} <= {status for _, _, status in service.statuses}
