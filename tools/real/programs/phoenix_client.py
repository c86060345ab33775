"""What people, judges and a reader do with Phoenix, by its own client. Prints JSON.

python phoenix_client.py create|edit|delete|read URL
"""

import importlib.util
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import httpx

# The package's own code imports the server, which takes half a minute; the client needs only its place.
place = importlib.util.find_spec("phoenix")
assert place is not None
sys.modules["phoenix"] = ModuleType("phoenix")
sys.modules["phoenix"].__path__ = list(place.submodule_search_locations or ())

from phoenix.client import Client  # noqa: E402 -- after the lines above

SPANS = 30
PROJECT = "answers"


def create(client: Client) -> None:
    """Spans with verdicts and labels."""
    now = datetime.now(UTC)
    spans = [
        {
            "name": "answer",
            "context": {"trace_id": f"{number + 1:032x}", "span_id": f"{number + 1:016x}"},
            "span_kind": "LLM",
            "start_time": (now - timedelta(days=number % 3, minutes=number)).isoformat(),
            "end_time": now.isoformat(),
            "status_code": "OK",
            "attributes": {"session.id": f"session-{number % 4}", "input.value": "When do I get my money back?"},
        }
        for number in range(SPANS)
    ]
    client.spans.log_spans(project_identifier=PROJECT, spans=spans)
    while len(_spans(client)) < SPANS:  # Phoenix writes them a moment later.
        time.sleep(0.2)
    for number, (span, trace) in enumerate(_spans(client)):
        _annotate(client, span, "correctness", "HUMAN", "ada", label="incorrect" if number % 5 == 0 else "correct")
        verdict = "hallucinated" if number % 4 == 0 else "factual"
        _annotate(client, span, "hallucination", "LLM", "judge-v2", label=verdict)
        _annotate(client, span, "helpfulness", "LLM", "judge-v2", score=number / SPANS)
        if number % 3 == 0:
            client.spans.add_span_note(span_id=span, note="Ask the billing team.")
            stars = 1 + number % 5
            for name, kind, by, score in (("overall", "HUMAN", "ben", stars), ("helpfulness", "LLM", "v2", 0.9)):
                client.traces.add_trace_annotation(
                    trace_id=trace, annotation_name=name, annotator_kind=kind, score=score, identifier=by, sync=True
                )


def edit(client: Client) -> None:
    """Replace labels, and add those of a second person."""
    for number, (span, _) in enumerate(_spans(client)):
        if number % 2:
            _annotate(client, span, "correctness", "HUMAN", "ada", label="correct" if number % 5 == 0 else "incorrect")
        if number % 6 == 0:
            _annotate(
                client, span, "correctness", "HUMAN", "ben", label="correct", explanation="It matches the policy."
            )


def delete(client: Client) -> None:
    """Delete the verdicts of one metric, a person's labels, and whole spans."""
    now = datetime.now(UTC)
    bounds = {"start_time": (now - timedelta(days=9)).isoformat(), "end_time": (now + timedelta(days=1)).isoformat()}
    for parameters in ({"name": "helpfulness"}, {"identifier": "ben"}):
        answer = _http().delete(f"/v1/projects/{PROJECT}/span_annotations", params={**parameters, **bounds})
        assert answer.is_success, answer.text
    for span, _ in _spans(client)[:3]:
        answer = _http().delete(f"/v1/spans/{span}")
        assert answer.is_success, answer.text


def read(client: Client) -> dict[str, list[list[Any]]]:
    """Who accepts what, by the rules of `tools/real/phoenix.py` written out."""
    spans = _spans(client)
    ids = [span for span, _ in spans]
    found = client.spans.get_span_annotations(span_ids=ids, project_identifier=PROJECT, limit=1000)
    # The client has no method that reads these.
    parameters: dict[str, Any] = {"trace_ids": [trace for _, trace in spans], "limit": 1000}
    answer = _http().get(f"/v1/projects/{PROJECT}/trace_annotations", params=parameters).raise_for_status()
    traces = answer.json()["data"]
    annotations: list[list[Any]] = []
    verdicts: list[list[Any]] = []
    for each in [*found, *traces]:
        item, name, result = each.get("span_id") or each["trace_id"], each["name"], each["result"]
        if name == "correctness":
            annotations.append([item, name, each["identifier"], result["label"] == "correct"])
        elif name == "overall":
            annotations.append([item, name, each["identifier"], result["score"] >= 3])
        elif name == "hallucination":
            verdicts.append([item, name, result["label"] == "factual"])
        elif name == "helpfulness":
            verdicts.append([item, name, result["score"] >= 0.6])
    return {"annotations": annotations, "verdicts": verdicts}


def _annotate(client: Client, span: str, name: str, kind: str, by: str, **fields: Any) -> None:
    client.spans.add_span_annotation(
        span_id=span, annotation_name=name, annotator_kind=kind, identifier=by, sync=True, **fields
    )


def _spans(client: Client) -> list[tuple[str, str]]:
    """Ids of span and trace, by their number."""
    try:
        found = client.spans.get_spans(project_identifier=PROJECT, limit=1000)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == 404:  # The project does not exist before its first span.
            return []
        raise
    return sorted((span["context"]["span_id"], span["context"]["trace_id"]) for span in found)


def _http() -> httpx.Client:
    return httpx.Client(base_url=sys.argv[2], timeout=120)


if __name__ == "__main__":
    steps = {"create": create, "edit": edit, "delete": delete, "read": read}
    sys.stdout.write(json.dumps(steps[sys.argv[1]](Client(base_url=sys.argv[2]))))
