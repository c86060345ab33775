"""Requests by the OpenAPI documents of view and ingest: what a document promises, a listener keeps.

schemathesis makes requests that a document allows, and requests that it forbids. Every response has a status, a type
and content of the document. The view accepts the first, unless they name what is not found, and refuses the second;
ingest judges each event of a body by rules that a document cannot state.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.types import ASGIApp

from tests.fuzz.http import FindingError
from tests.support.ingest import fake_app
from tests.support.listeners import QUEUE, fill_store, listening
from tests.support.sources import tool_source

_BASE: Final = "http://localhost"
_ROUND: Final = 25
"""Requests of one operation before the next has its turn."""
_STREAM: Final = "/api/v1/stream"
"""Its response does not end."""
_EXISTING: Final[Mapping[str, str]] = {"queue": QUEUE, "name": "spans"}
"""Names of parameters in the path, and what exists."""
_OPAQUE: Final[Mapping[str, str]] = {"query": "cursor", "headers": "Content-Encoding"}
"""Where a parameter is whose valid values depend on more than the document: an earlier response, or the body."""


@dataclass(slots=True)
class Target:
    """A service and its document. Without an `app`, the service listens at `base`."""

    schema: Any
    base: str = _BASE
    app: ASGIApp | None = None
    judged: bool = True
    """Whether the document alone decides what is accepted."""
    tried: int = 0
    statuses: set[tuple[str, str, int]] = field(default_factory=set)
    """Operation, kind of request, and status."""

    def operations(self) -> Iterator[tuple[Any, GenerationMode]]:
        """Every operation, with allowed and with forbidden requests."""
        for result in self.schema.get_all_operations():
            operation = result.ok()
            if operation.path != _STREAM:
                yield from ((operation, mode) for mode in GenerationMode)

    def attack(self, operation: Any, mode: GenerationMode, until: float) -> None:
        """Some requests of an operation. Raises FindingError."""
        named = {parameter.name for parameter in operation.path_parameters} & _EXISTING.keys()
        for existing in ({}, {name: _EXISTING[name] for name in named}) if named else ({},):

            @settings(
                max_examples=_ROUND,
                deadline=None,
                database=None,
                verbosity=Verbosity.quiet,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            @given(operation.as_strategy(generation_mode=mode, path_parameters=dict(existing) or None))
            def requests(case: Any) -> None:
                if time.monotonic() < until:
                    self.exchange(case, mode)

            # Some operations have nothing that could be forbidden.
            with contextlib.suppress(Unsatisfiable):
                requests()

    def exchange(self, case: Any, mode: GenerationMode) -> None:
        """Send one request, and check its response. Raises FindingError."""
        for where, name in _OPAQUE.items():
            (getattr(case, where) or {}).pop(name, None)
        query = case.query or {}
        if mode is GenerationMode.POSITIVE and query.get("by") == "publication":
            # This trend takes no judge, and a metric only with its criterion, as their descriptions state.
            query.pop("judge", None)
            if "criterion" not in query:
                query.pop("metric", None)
        response = case.call(base_url=self.base, **({} if self.app is None else {"app": self.app}))
        self.tried += 1
        self.statuses.add((case.operation.label, mode.value, response.status_code))
        # That a process is not ready is no failure of it.
        excluded = [not_a_server_error] if response.status_code == 503 else []
        if not self.judged:
            excluded += [negative_data_rejection, positive_data_acceptance]
        try:
            case.validate_response(response, excluded_checks=excluded)
        except* AssertionError as group:
            raise FindingError(f"{case.operation.label}, {mode.value}: {group}") from None


@contextlib.contextmanager
def targets() -> Iterator[list[Target]]:
    """A view that listens, and ingest in this process, whose broker takes everything."""
    load_all_checks()
    ingest = fake_app(sources={"spans": tool_source("otel", id_prefix="spans")})
    with tempfile.TemporaryDirectory() as parent:
        fill_store(Path(parent))
        with listening("view", Path(parent)) as view:
            base = f"{_BASE}:{view.port}"
            host = {"Host": "localhost"}
            yield [
                Target(schemathesis.openapi.from_url(f"{base}/openapi.json"), base),
                Target(schemathesis.openapi.from_asgi("/openapi.json", ingest, headers=host), app=ingest, judged=False),
            ]


def run(seconds: float) -> int:
    """Send requests for some seconds; returns their number. Raises FindingError."""
    until = time.monotonic() + seconds
    with targets() as services:
        while time.monotonic() < until:
            for service in services:
                for operation, mode in service.operations():
                    service.attack(operation, mode, until)
        return sum(service.tried for service in services)
