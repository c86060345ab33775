"""An OpenTelemetry Collector: evaluations as log records and as span events, sent on to `ingest`."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import httpx

from tests.support.ports import free_port
from tests.support.processes import LOOPBACK
from tools.real import RealTool, Results
from tools.real.stage import Stage, plain_recount

_SETTINGS: Final = """
[sources.otel]
tool = "otel"
queues = { end_user = "support", builder = "support" }

[sources.otel.metrics]
relevance = { threshold = 0.5 }
"""
_COLLECTOR: Final = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: RECEIVER
exporters:
  otlp_http:
    endpoint: INGEST
    headers:
      authorization: Bearer ${env:TOKEN}
    retry_on_failure:
      initial_interval: 500ms
  otlp_http/json:
    endpoint: INGEST
    encoding: json
    headers:
      authorization: Bearer ${env:TOKEN}
  file:
    path: evaluations.jsonl
service:
  telemetry:
    metrics:
      readers:
        - pull:
            exporter:
              prometheus:
                host: 127.0.0.1
                port: METRICS
  pipelines:
    logs:
      receivers: [otlp]
      exporters: [otlp_http, file]
    traces:
      receivers: [otlp]
      exporters: [otlp_http/json]
"""
_EVENT: Final = "gen_ai.evaluation.result"


class _Emitted(NamedTuple):
    """What an application emitted."""

    logs: list[dict[str, Any]]
    spans: list[dict[str, Any]]
    annotations: dict[tuple[str, str, str], bool]
    verdicts: dict[tuple[str, str], bool]


def _run(stage: Stage) -> Results:
    stage.configure(_SETTINGS)
    receiver = f"{LOOPBACK}:{free_port()}"
    metrics = free_port()
    config = _COLLECTOR.replace("RECEIVER", receiver).replace("INGEST", stage.url).replace("METRICS", str(metrics))
    (stage.directory / "collector.yaml").write_text(config)
    first, second = _emitted(range(20)), _emitted(range(20, 40))
    annotations, verdicts = first.annotations | second.annotations, first.verdicts | second.verdicts
    with stage.server(
        "collector",
        "--config",
        "file:collector.yaml",
        health=f"http://{LOOPBACK}:{metrics}/metrics",
        environment={"TOKEN": stage.token},
    ):
        with stage.ingest():
            _send(receiver, first)
            stage.await_counts("support", lambda: plain_recount(first.annotations, first.verdicts))
        # The collector repeats what nobody takes.
        _send(receiver, second)
        with stage.ingest():
            comparisons = stage.await_counts("support", lambda: plain_recount(annotations, verdicts))
    # The file has the same log records once more.
    stage.load("otel", stage.directory / "evaluations.jsonl")
    stage.await_counts("support", lambda: plain_recount(annotations, verdicts))
    stage.await_evaluations(len(verdicts))
    assert stage.dead_letters() == 0
    return {"evaluations": len(verdicts), "annotations": len(annotations), "comparisons": comparisons}


def _emitted(numbers: Sequence[int]) -> _Emitted:
    """A judge's verdicts as log records and as span events, and ratings as Microsoft Foundry emits them."""
    emitted = _Emitted([], [], {}, {})
    now = time.time_ns()
    for number in numbers:
        trace, span = f"{number + 1:032x}", f"{number + 1:016x}"
        where = {"traceId": trace, "spanId": span}
        relevance, accepts, safe = number % 10 / 10, number % 3 != 0, number % 4 != 0
        emitted.verdicts[trace, "relevance"] = relevance >= 0.5
        emitted.verdicts[trace, "safety"] = safe
        emitted.annotations[trace, "customer_rating", f"user-{number}"] = accepts
        # As pydantic-evals does it, without `timeUnixNano`.
        emitted.logs.append(
            where
            | {"eventName": _EVENT, "observedTimeUnixNano": str(now)}
            | _attributes({"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": relevance})
        )
        properties = {"gen_ai.evaluation.type": "boolean", "gen_ai.evaluation.min_value": "0"}
        emitted.logs.append(
            where
            | {"timeUnixNano": str(now)}
            | _attributes(
                {
                    "microsoft.custom_event.name": _EVENT,
                    "microsoft.gen_ai.human_evaluation.source": "end_user" if number % 2 else "builder",
                    "microsoft.gen_ai.human_evaluation.id": f"rating-{number}",
                    "gen_ai.evaluation.name": "customer_rating",
                    "gen_ai.evaluation.score.value": 1.0 if accepts else 0.0,
                    "enduser.pseudo.id": f"user-{number}",
                    "internal_properties": json.dumps(properties),
                }
            )
        )
        emitted.logs.append(where | {"timeUnixNano": str(now), "body": {"stringValue": "another log record"}})
        label = {"gen_ai.evaluation.name": "safety", "gen_ai.evaluation.score.label": "pass" if safe else "fail"}
        event = {"name": _EVENT, "timeUnixNano": str(now)} | _attributes(label)
        times = {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now)}
        emitted.spans.append(where | times | {"name": "answer", "kind": 1, "events": [event]})
    return emitted


def _attributes(values: Mapping[str, str | float]) -> dict[str, Any]:
    return {"attributes": list(_key_values(values))}


def _key_values(values: Mapping[str, str | float]) -> Iterator[dict[str, Any]]:
    for key, value in values.items():
        yield {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"doubleValue": value}}


def _send(receiver: str, emitted: _Emitted) -> None:
    """Send everything to the collector, as OTLP in JSON."""
    requests = {
        "logs": {"resourceLogs": [{"scopeLogs": [{"logRecords": emitted.logs}]}]},
        "traces": {"resourceSpans": [{"scopeSpans": [{"spans": emitted.spans}]}]},
    }
    for signal, body in requests.items():
        httpx.post(f"http://{receiver}/v1/{signal}", json=body).raise_for_status()


TOOL: Final = RealTool(
    name="collector",
    title="OpenTelemetry Collector",
    packages=("go.opentelemetry.io/collector/otelcol",),
    covers=("ingest/otlp.py", "sources/tools/otel.py", "tools/real/programs/collector"),
    run=_run,
    programs=("go",),
    lock="tools/real/programs/collector/go.mod",
)
