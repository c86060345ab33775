"""The whole way of sources: what tools send to `ingest` is compared by the worker, and the page shows it.

The evaluations come from the exporters of OpenTelemetry's SDK, the annotations as webhooks of Label Studio.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sources.tools.otel import EVENT
from tests.support.deployments import Installation
from tests.support.ingest_process import IngestProcess
from tests.support.processes import get, wait_until

DEADLINE = 120.0
QUEUE = "labels of the support team"
TOKEN = "0123456789abcdef0123456789abcdef"
SECRET = "an-invented-secret-of-40-bytes-in-header"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def tools(embedded: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestProcess]:
    """`ingest` with a source of OpenTelemetry and one of Label Studio."""
    directory = tmp_path_factory.mktemp("tools")
    (directory / "tokens").write_text(f"collector {TOKEN}\n")
    (directory / "secret").write_text(SECRET)
    sources = {
        "pipeline": {
            "tool": "otel",
            "metrics": {"relevance": {"threshold": 0.5}},
            "output": 'attributes."app.answer"',
            "tags": {"plan": 'attributes."app.plan"', "team": 'attributes."app.team"'},
        },
        "labels": {
            "tool": "labelstudio",
            "queue": QUEUE,
            "item": "trace",
            "input": "data.question",
            "tags": {"team": "data.team"},
            "criteria": {"tone": {"rating": "stars"}},
            "secret_file": str(directory / "secret"),
        },
    }
    with IngestProcess(embedded, directory, sources=sources, token_file=directory / "tokens") as process:
        yield process


def judge(url: str, scores: Mapping[str, float]) -> list[str]:
    """Export an evaluation of a span for each score, among other records; returns the traces.

    The first half are log records, compressed; the others are span events.
    """
    spans, logs = TracerProvider(), LoggerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces", headers=BEARER)))
    exporter = OTLPLogExporter(f"{url}/v1/logs", headers=BEARER, compression=Compression.Gzip)
    logs.add_log_record_processor(BatchLogRecordProcessor(exporter))
    tracer, logger = spans.get_tracer("app"), logs.get_logger("judge")
    traces = []
    for number, (label, score) in enumerate(scores.items()):
        with tracer.start_as_current_span("chat") as span:
            traces.append(f"{span.get_span_context().trace_id:032x}")
            span.add_event("first token")
            logger.emit(body=f"answered {label}", timestamp=time.time_ns())
            attributes: dict[str, str | float] = {
                "gen_ai.evaluation.name": "relevance",
                "gen_ai.evaluation.score.value": score,
                "app.answer": f"answer {label}",
                "app.plan": "free",
                "app.team": "unknown",
            }
            if number < len(scores) // 2:
                logger.emit(event_name=EVENT, attributes=attributes, observed_timestamp=time.time_ns())
            else:
                span.add_event(EVENT, attributes)
    for provider in (spans, logs):
        assert provider.force_flush()
        provider.shutdown()
    return traces


def webhook(tools: IngestProcess, action: str, **fields: Any) -> dict[str, Any]:
    """Send a webhook of Label Studio; returns the answer."""
    body = {"action": action, "project": {"id": 7}, **fields}
    answer = httpx.post(
        f"{tools.url}/api/v1/sources/labels", json=body, headers={"Authorization": f"Token {SECRET}"}, timeout=60
    )
    assert answer.status_code == 401
    answer = httpx.post(
        f"{tools.url}/api/v1/sources/labels", json=body, headers={"Authorization": f"Bearer {SECRET}"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def labelled(id: int, stars: int, second: int = 0) -> dict[str, Any]:
    answer = {"type": "rating", "from_name": "tone", "value": {"rating": stars}}
    return {
        "id": id,
        "updated_at": f"2026-09-21T14:00:{second:02d}Z",
        "result": [answer],
        "completed_by": 3,
        "task": id,
    }


def cards(embedded: Installation) -> tuple[int, int]:
    """Comparisons and misaligned ones of the queue."""
    document = embedded.document(QUEUE)
    return (0, 0) if document is None else (document["cards"]["comparisons"], document["cards"]["misaligned"])


def test_what_tools_send_is_on_the_page(tools: IngestProcess, embedded: Installation) -> None:
    traces = judge(tools.url, {"a": 0.9, "b": 0.8, "c": 0.1, "d": 0.2})
    tasks = [
        {"id": number, "data": {"trace": trace, "question": f"question {number}", "team": "care"}, "project": 7}
        for number, trace in enumerate(traces)
    ]
    # People agree with the first and the third.
    stars = [5, 1, 2, 4]
    annotations = [labelled(number, rating) for number, rating in enumerate(stars)]
    assert webhook(tools, "ANNOTATIONS_CREATED", annotation=annotations, task=tasks)["events"] == 4
    wait_until(lambda: cards(embedded) == (4, 2), DEADLINE, lambda: f"4 comparisons, not {cards(embedded)}")

    assert webhook(tools, "ANNOTATION_UPDATED", annotation=labelled(1, 4, 9), task=tasks[1])["events"] == 1
    wait_until(lambda: cards(embedded) == (4, 1), DEADLINE, lambda: f"the edit counts, not {cards(embedded)}")
    # A deletion has ids only.
    assert webhook(tools, "ANNOTATIONS_DELETED", annotations=[{"id": 3}, {"id": 77}]) == {
        "events": 1,
        "skipped": {"not_owned": 1},
        "rejected": 0,
    }
    wait_until(lambda: cards(embedded) == (3, 0), DEADLINE, lambda: f"the deletion counts, not {cards(embedded)}")

    path = QUEUE.replace(" ", "%20")
    rows = json.loads(get(f"{embedded.url}/api/v1/queues/{path}/comparisons").body)["comparisons"]
    shown = {row["item"]: (row["input"], row["output"], row["tags"]) for row in rows}
    assert shown == {
        trace: (f"question {number}", f"answer {'abcd'[number]}", {"plan": "free", "team": "care"})
        for number, trace in enumerate(traces[:3])
    }
    page = get(f"{embedded.url}/queues/{path}")
    assert page.status == 200
    text = page.body.decode()
    assert "relevance" in text and "tone" in text and "100" in text
    samples = httpx.get(f"{tools.url}/metrics", headers=BEARER, timeout=60).text
    assert 'eval_alignment_ingest_source_events_total{source="pipeline"} 4.0' in samples
    assert 'eval_alignment_ingest_source_skipped_total{reason="not_an_evaluation",source="pipeline"}' in samples
    assert 'eval_alignment_ingest_source_events_total{source="labels"} 6.0' in samples


def test_an_exporter_reports_what_is_refused(tools: IngestProcess) -> None:
    record = {"eventName": EVENT, "traceId": "q" * 32, "attributes": []}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record, {"body": {}}]}]}]})
    headers = {**BEARER, "Content-Type": "application/json"}
    answer = httpx.post(f"{tools.url}/v1/logs", content=body, headers=headers, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedLogRecords"] == "1"
    assert httpx.post(f"{tools.url}/v1/logs", content=body, timeout=60).status_code == 401
