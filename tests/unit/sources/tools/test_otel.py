"""OpenTelemetry: times of log records."""

from typing import Any

import pytest

from sources.records import Malformed
from tests.support.sources import facts_of, outcomes, tool_source

NAME = "gen_ai.evaluation.result"


def _logs(*times: Any) -> dict[str, Any]:
    texts = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "pass"}
    attributes = [{"key": key, "value": {"stringValue": text}} for key, text in texts.items()]
    event = {"eventName": NAME, "traceId": "AB" * 16, "spanId": "cd" * 8, "attributes": attributes}
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [event | {"timeUnixNano": time} for time in times]}]}]}


@pytest.mark.parametrize("time", [1795158000000999999, "1795158000000999999"])
def test_a_time_is_cut_to_the_millisecond(time: Any) -> None:
    (fact,) = facts_of(tool_source("otel"), _logs(time))
    assert (fact.at, fact.item) == (1795158000000, "ab" * 16)


@pytest.mark.parametrize("time", [-1, 10**25])
def test_an_impossible_time_is_malformed_and_leaves_the_others(time: int) -> None:
    first, second = outcomes(tool_source("otel"), _logs(time, 1795158000000000000))
    assert isinstance(first.result, Malformed)
    assert not isinstance(second.result, Malformed)
