"""No request of OTLP, however broken, fails unexpectedly: it is read, or refused with a reason."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.facts import Fact
from ingest.otlp import Encoding, ExportContent, read_export
from sources.records import UnknownShapeError
from sources.tools.otel import Signal
from streams.events.decoder import KIND_OF, Decoder
from streams.events.encoder import encode_event
from tests.support.otlp import NANOSECONDS, as_json, as_protobuf, attributes, event, judged, log, logs, span, traces
from tests.support.sources import RECEIVED, tool_source

SOURCE = tool_source(
    "otel", queue="q", criteria={"tone": {"rating": "stars"}}, metrics={"relevance": {"threshold": 0.5}}
)
FOUNDRY = {"microsoft__gen_ai__human_evaluation__id": "h1", "microsoft__gen_ai__human_evaluation__source": "end_user"}
NAMED = attributes(microsoft__custom_event__name="gen_ai.evaluation.result")
REQUESTS: dict[Signal, dict[str, Any]] = {
    "logs": logs(
        log(),
        log("tone", attributes=judged("tone", gen_ai__evaluation__score__value=4)),
        {"timeUnixNano": NANOSECONDS, "attributes": [*judged(**FOUNDRY), *NAMED]},
        log(attributes=judged(error__type="timeout", internal_properties='{"gen_ai.evaluation.threshold": "0.5"}')),
    ),
    "traces": traces(span(event(), {"name": "other"}), span(event("tone"))),
}
_SCOPES = REQUESTS["logs"]["resourceLogs"][0]["scopeLogs"]
NAMES = sorted({each["key"] for record in _SCOPES[0]["logRecords"] for each in record["attributes"]})
VALUES = st.one_of(
    st.none(),
    st.text(max_size=5).map(lambda text: {"stringValue": text}),
    st.sampled_from([
        {"boolValue": True}, {"intValue": "4"}, {"intValue": "9" * 18}, {"doubleValue": "NaN"}, {"doubleValue": 1e300},
        {"doubleValue": 0.5}, {"arrayValue": {"values": []}}, {"stringValue": "x" * 300}, {"stringValue": "[" * 3000},
        {"stringValue": "\x00"}, {"stringValue": "1e999"}, {},
    ]),
)  # fmt: skip


def check(body: bytes, signal: Signal, encoding: Encoding) -> None:
    """Read a request; its facts are valid."""
    try:
        export = read_export(ExportContent(body, signal, encoding), SOURCE, RECEIVED, RECEIVED)
    except UnknownShapeError:
        return
    for fact in export.facts:
        assert isinstance(fact, Fact)
        assert Decoder().decode_value(KIND_OF[type(fact)], encode_event(fact)) == fact
    assert len(export.problem(signal)) < 10_000


@settings(deadline=None)
@given(data=st.data(), signal=st.sampled_from(["logs", "traces"]), encoding=st.sampled_from(["protobuf", "json"]))
def test_changed_bytes(data: st.DataObject, signal: Signal, encoding: Encoding) -> None:
    body = bytearray((as_protobuf if encoding == "protobuf" else as_json)(REQUESTS[signal]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body) - 1))
        body[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        body = body or bytearray(b"\n")
    check(bytes(body), signal, encoding)


@settings(deadline=None)
@given(own=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6), json=st.booleans())
def test_changed_attributes(own: dict[str, Any], json: bool) -> None:
    kept = {each["key"]: each["value"] for each in [*judged(), *NAMED]} | own
    record = {"timeUnixNano": NANOSECONDS, "attributes": [{"key": key, "value": value} for key, value in kept.items()]}
    if json:
        check(as_json(logs(record)), "logs", "json")
    else:
        check(as_protobuf(logs(record)), "logs", "protobuf")


@settings(deadline=None)
@given(body=st.binary(max_size=40), signal=st.sampled_from(["logs", "traces"]))
def test_any_bytes(body: bytes, signal: Signal) -> None:
    check(body, signal, "protobuf")
    check(body, signal, "json")
