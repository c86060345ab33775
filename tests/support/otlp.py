"""Export requests of OTLP with invented values, in JSON and in protobuf."""

import base64
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sources.tools.otel import EVENT, Signal

TRACE = "ab" * 16
SPAN = "cd" * 8
NANOSECONDS = "1789999200123456789"
"""2026-09-21T14:00:00.123Z, before `tests.support.ingest.NOW_MS`."""
_REQUESTS: Mapping[Signal, Any] = {"logs": ExportLogsServiceRequest, "traces": ExportTraceServiceRequest}


def attributes(**texts: Any) -> list[dict[str, Any]]:
    """Attributes; `__` in a name is a dot."""
    kinds = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return [{"key": key.replace("__", "."), "value": {kinds[type(value)]: value}} for key, value in texts.items()]


def judged(name: str = "relevance", **texts: Any) -> list[dict[str, Any]]:
    """The attributes of an evaluation that passes."""
    label = {"gen_ai__evaluation__score__label": "pass"}
    return attributes(gen_ai__evaluation__name=name, **{**label, **texts})


def log(name: str = "relevance", /, **fields: Any) -> dict[str, Any]:
    """A log record with an evaluation."""
    ids = {"traceId": TRACE, "spanId": SPAN}
    return {"eventName": EVENT, "timeUnixNano": NANOSECONDS, **ids, "attributes": judged(name), **fields}


def other_log(text: str = "GET /orders 200") -> dict[str, Any]:
    """A log record of another part of the pipeline."""
    return {"timeUnixNano": NANOSECONDS, "body": {"stringValue": text}, "attributes": attributes(http__route="/orders")}


def span(*events: Any, **fields: Any) -> dict[str, Any]:
    """A span with events."""
    return {"traceId": TRACE, "spanId": SPAN, "name": "chat", "events": list(events), **fields}


def event(name: str = "relevance", /, **fields: Any) -> dict[str, Any]:
    """A span event with an evaluation."""
    return {"name": EVENT, "timeUnixNano": NANOSECONDS, "attributes": judged(name), **fields}


def logs(*records: Any) -> dict[str, Any]:
    """An export request with log records."""
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {"name": "s"}, "logRecords": list(records)}]}]}


def traces(*spans: Any) -> dict[str, Any]:
    """An export request with spans."""
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}]}


def as_json(document: Mapping[str, Any]) -> bytes:
    """A request as a sender of OTLP/JSON writes it."""
    return json.dumps(document).encode()


def as_protobuf(document: Mapping[str, Any]) -> bytes:
    """A request as a sender of protobuf writes it."""
    signal: Signal = "logs" if "resourceLogs" in document else "traces"
    message = json_format.ParseDict(_with_base64(deepcopy(dict(document))), _REQUESTS[signal](), True)
    written: bytes = message.SerializeToString()
    return written


def _with_base64(node: Any) -> Any:
    """The document with its ids as JSON of protobuf has them."""
    if isinstance(node, list):
        return [_with_base64(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: base64.b64encode(bytes.fromhex(child)).decode()
        if key in {"traceId", "spanId", "parentSpanId"}
        else _with_base64(child)
        for key, child in node.items()
    }
