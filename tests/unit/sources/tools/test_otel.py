"""OpenTelemetry: times and ids of records, and broken ones among others."""

from typing import Any

import pytest

from aggregator.facts import Evaluation
from sources.records import Malformed, Skip, UnknownShapeError
from sources.tools.otel import json_events
from tests.support.otlp import NANOSECONDS, TRACE, as_json, event, judged, log, logs, span, traces
from tests.support.sources import facts_of, outcomes, tool_source


def _logs(*times: Any) -> dict[str, Any]:
    return logs(*(log(timeUnixNano=time) for time in times))


@pytest.mark.parametrize("time", [1795158000000999999, "1795158000000999999"])
def test_a_time_is_cut_to_the_millisecond(time: Any) -> None:
    (fact,) = facts_of(tool_source("otel"), _logs(time))
    assert (fact.at, fact.item) == (1795158000000, "ab" * 16)


@pytest.mark.parametrize("time", [-1, 10**25])
def test_an_impossible_time_is_malformed_and_leaves_the_others(time: int) -> None:
    first, second = outcomes(tool_source("otel"), _logs(time, 1795158000000000000))
    assert isinstance(first.result, Malformed)
    assert not isinstance(second.result, Malformed)


@pytest.mark.parametrize(
    "id", ["qrvM3e7/ABEiM0RVZneImQ==", TRACE[:-1], f"{TRACE}0", "g" * 32, f" {TRACE[1:]}", "\u0661" * 32]
)
def test_an_id_that_is_not_hexadecimal_is_refused_and_leaves_the_others(id: str) -> None:
    first, second = outcomes(tool_source("otel"), logs(log(traceId=id), log(traceId=TRACE.upper())))
    assert first.result == Malformed(
        "log record 1: the trace id is not of 32 hexadecimal digits (16 bytes): OTLP/JSON has no ids in base64"
    )
    assert isinstance(second.result, Evaluation) and second.result.item == TRACE


@pytest.mark.parametrize(
    "broken", [7, None, "x", [], {**log(), "attributes": [{"value": {}}]}, {**log(), "timeUnixNano": "soon"}]
)
def test_one_broken_record_leaves_the_others(broken: Any) -> None:
    results = [outcome.result for outcome in outcomes(tool_source("otel"), logs(log("a"), broken, log("b")))]
    assert [type(result) for result in results] == [
        Evaluation,
        # What has not the name of an evaluation is another record, broken or not.
        Malformed if isinstance(broken, dict) else Skip,
        Evaluation,
    ]


def test_one_broken_span_event_leaves_the_others() -> None:
    document = traces(span(event("a"), event("b", attributes=7), event("c")), span(event("d")), span(7, event("e")))
    results = [outcome.result for outcome in outcomes(tool_source("otel"), document)]
    assert [getattr(result, "metric", None) for result in results] == ["a", None, "c", "d", "e"]


def test_a_name_may_be_written_with_escapes() -> None:
    content = as_json(logs(log())).replace(b"gen_ai.evaluation.result", rb"gen_ai\u002eevaluation.result")
    assert [fact.item for fact in facts_of(tool_source("otel"), content)] == [TRACE]


def test_null_is_as_absent() -> None:
    record = {**log(), "timeUnixNano": None, "spanId": None, "observedTimeUnixNano": NANOSECONDS, "body": None}
    record["attributes"] = [*judged(), {"key": "note", "value": None}]
    document = {"resourceLogs": [{"scopeLogs": None}, {"scopeLogs": [{"logRecords": None}, {"logRecords": [record]}]}]}
    assert [fact.at for fact in facts_of(tool_source("otel"), document)] == [1789999200123]


@pytest.mark.parametrize(("value", "judge"), [(2, "2"), (2.5, "2.5"), (True, "true"), ("v2", "v2"), ("", "")])
def test_a_version_may_be_a_number(value: Any, judge: str) -> None:
    (fact,) = facts_of(tool_source("otel"), logs(log(attributes=judged(gen_ai__evaluator__version=value))))
    assert isinstance(fact, Evaluation) and fact.judge == judge


@pytest.mark.parametrize("properties", ["[" * 5000, "\x00", "7", '{"gen_ai.evaluation.type": []}', "{", '{"a": 1e999}'])
def test_odd_properties_of_foundry_are_as_absent(properties: str) -> None:
    (fact,) = facts_of(tool_source("otel"), logs(log(attributes=judged(internal_properties=properties))))
    assert isinstance(fact, Evaluation) and fact.passed


def test_requests_of_the_other_signal_name_its_address() -> None:
    with pytest.raises(UnknownShapeError, match="which go to /v1/traces"):
        json_events(as_json(traces(span())), "logs")
    with pytest.raises(UnknownShapeError, match="which go to /v1/logs"):
        json_events(as_json(logs(log())), "traces")
    assert not list(json_events(b"{}", "logs")) and not list(json_events(b'{"a_new_field": 1}', "traces"))
