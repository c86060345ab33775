"""docs/ingest.md: events over HTTP, with example requests and their real answers."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_type_hints

import httpx
import orjson

from ingest.config import Limits
from ingest.decide import AnsweredRejection, AnsweredWarning, IngestAnswer
from ingest.media import ENCODINGS, TYPES, Format
from ingest.openapi import ANSWERED, EVENTS_PATH, OTLP_STATUSES, SOURCE_STATUSES, STATUSES
from ingest.otlp import OTLP_PATHS
from ingest.parts import BRACKETS, COMMAS, ESCAPES, LINES, NAMES
from ingest.signatures import TOLERANCE_SECONDS
from ingest.sources import SOURCES_PATH, RecordsAnswer
from sinks.access import TOKEN_BYTES
from sinks.api.field_docs import field_docs
from sources.registry import OTLP_TOOL, TOOLS
from sources.tools.otel import EVENT
from tests.support.ingest import open_door
from tools.reference.fields import type_text
from tools.reference.markdown import code, document, fenced, json_block, section, table

BASE: Final = "http://127.0.0.1:8389"
AT: Final = "2026-09-21T14:00:00Z"
_FORMATS: Final = {
    Format.JSON: "one event, or an array of events",
    Format.NDJSON: "one event per line; blank lines, CRLF and a missing last line end are allowed",
    Format.STRUCTURED: "one CloudEvent, structured mode",
    Format.BATCH: "an array of CloudEvents, batched mode",
}


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """A request that the page shows with its answer."""

    title: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The request as a command of a shell."""
        headers = "".join(f" \\\n  -H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items())
        # `-d` removes line breaks.
        option = "--data-binary" if "\n" in self.body else "-d"
        return f"curl {BASE}{EVENTS_PATH}{headers} \\\n  {option} {shlex.quote(self.body)}"


def _json(**fields: Any) -> str:
    return orjson.dumps(fields).decode()


_ANNOTATION: Final = {"queue": "support", "item": "trace-1", "thumbs": "up"}
REQUESTS: Final = (
    IngestRequest("One event", _json(id="a-1", at=AT, annotator="ann", **_ANNOTATION)),
    IngestRequest(
        "Several events, of which one is invalid and one has a misspelt field",
        "\n".join(
            (
                _json(id="a-2", at=AT, annotater="ann", **_ANNOTATION),
                _json(id="e-1", at=AT, item="trace-1", metric="relevance", score="0.9", threshold=0.5),
            )
        ),
        {"Content-Type": "application/x-ndjson"},
    ),
    IngestRequest(
        "A CloudEvent in binary mode",
        _json(**_ANNOTATION),
        {"ce-specversion": "1.0", "ce-id": "a-3", "ce-time": AT, "ce-source": "/tool", "ce-type": "rating"},
    ),
    IngestRequest("Not JSON", "item,human"),
)
"""The examples; a test sends each with curl."""


def page() -> str:
    """The page."""
    limits = Limits()
    answers = asyncio.run(_send(REQUESTS))
    return document(
        "Events over HTTP",
        "`eval-alignment ingest` takes [events](events.md) over HTTP and writes them to Kafka, for tools without a "
        "Kafka client. It decides each event as the workers do, before it sends it, and answers 200 when the broker "
        "has acknowledged every event. For events and OTLP it keeps no state: run as many as you need, with a load "
        "balancer in front of them.",
        fenced("console", "eval-alignment ingest"),
        f"It listens at the address of the setting `ingest_http` (`{BASE}` by default). The OpenAPI document is at "
        f"[`/openapi.json`]({BASE}/openapi.json).",
        section("Requests", *_requests(limits)),
        section(
            "Answers",
            table(
                ("status", "body", "meaning"),
                (
                    (
                        str(status),
                        f"[{IngestAnswer.__name__}](#ingestanswer)" if status in ANSWERED else "problem",
                        text,
                    )
                    for status, text in STATUSES.items()
                ),
            ),
            "A problem is `application/problem+json` (RFC 9457) with the cause in `detail`. A rejected event is "
            "answered to its sender, with one of the [reject reasons](reasons.md), and does not become a dead letter. "
            "Do not send it again unchanged. Everything else may be sent again: equal events count once, so no "
            "idempotency key is needed.",
            *map(_type, (IngestAnswer, AnsweredRejection, AnsweredWarning)),
        ),
        section("Webhooks", *_webhooks(limits)),
        section("OTLP", *_otlp(limits)),
        section("Examples", *(_example(request, answers[request.title]) for request in REQUESTS)),
        section(
            "Access",
            "On loopback no token is needed. On any other address, `ingest_token_file` (default: `token_file`) is "
            "required: a file with a token of 32 bytes or more per line, after the name of who uses it:",
            fenced("text", "annotation-tool 5f0c9d...\nnightly-evals 81aa7e..."),
            "Clients send `Authorization: Bearer TOKEN`; webhooks may have [their own secrets](#secrets-of-webhooks). "
            "The name is the label `sender` of the "
            "[metrics](metrics.md#ingest). Two lines with one name allow a token to be replaced without a pause. The "
            "`Host` header must be a loopback name or in `allowed_hosts`. Health checks need neither: `/healthz` is "
            "200 while the process runs, `/readyz` is 503 while the broker does not answer, and while the "
            "owner index of sources [is made](operations.md#owner-index-of-sources-lost). Requests of web pages "
            "(with an `Origin` header) are refused.",
        ),
        section(
            "Delivery",
            "- The key of a record is the event's `item`, and all in-sync replicas acknowledge it. On Apache Kafka "
            "the producer is idempotent.\n"
            f"- After 503 some events may have arrived. The broker has {limits.acknowledge_seconds:g} s to acknowledge "
            "(setting `ingest_acknowledge_timeout_s`).\n"
            "- `at` is compared with the broker's clock, which acknowledgements show. Until the first one it is "
            "compared with the clock of this machine. The embedded broker keeps the time of ingest.\n"
            "- At SIGTERM the process takes no new connection, and finishes the requests that it has.",
        ),
        see_also=(
            "[Client for Python](client.md)",
            "[Events](events.md)",
            "[Reject reasons](reasons.md)",
            "[Settings](settings.md#ingest)",
            "[Metrics](metrics.md#ingest)",
            "[Security](security.md)",
        ),
    )


def _requests(limits: Limits) -> Sequence[str]:
    types = ((code(name for name, of in TYPES.items() if of is form), text) for form, text in _FORMATS.items())
    kinds = (
        f"`POST {EVENTS_PATH}` takes events of all kinds. `kind` (`annotation`, `evaluation`, `queue_item`) may name "
        "the kind of an event. Without it, `metric` means evaluation, and a rating, `criterion` or `annotator` means "
        "annotation."
    )
    formats = (
        "Letter case and parameters such as `charset` do not matter. A body that begins with `{` or `[` is read as "
        "JSON or NDJSON under any other type too, so curl needs no header. Send a file of lines by "
        "`curl --data-binary @FILE`: `-d @FILE` removes the line ends. With the header `ce-specversion`, the body "
        "is the data of one CloudEvent in binary mode; `ce-` headers are percent-decoded. The content type alone "
        "determines the mode of a CloudEvent."
    )
    sizes = (
        f"`Content-Encoding` may be {' or '.join(f'`{name}`' for name in ENCODINGS)}. A request has at most "
        f"{limits.events:,} events and {limits.body_bytes >> 20} MiB after decompression; these and further limits are "
        "[settings](settings.md#ingest). An event above 256 KiB is rejected alone."
    )
    return kinds, table(("content type", "body"), types), formats, sizes


def _webhooks(limits: Limits) -> Sequence[str]:
    path = SOURCES_PATH.format(name="NAME")
    paths = (
        f"`POST {path}` takes what the tool of the source NAME sends: a table in the setting `sources`. "
        f"`POST {path}/...` is for an SDK whose address was changed to it, and which appends a path. Such an SDK no "
        "longer reaches its vendor; what is no evaluation is skipped as `not_an_evaluation`. A body has at most "
        f"{limits.source_body_bytes >> 20} MiB after decompression and {LINES:,} lines; JSON has at most "
        f"{COMMAS:,} commas outside of its texts, {BRACKETS:,} objects and arrays, {NAMES:,} different names of "
        f"fields, and {ESCAPES:,} escapes. A body with more is refused with 413: send fewer records per request."
    )
    statuses = (
        (str(status), f"[{RecordsAnswer.__name__}](#recordsanswer)" if status == 200 else "problem", text)
        for status, text in sorted(SOURCE_STATUSES.items())
    )
    secrets = (
        "With `secret_file`, the signature or the secret of a webhook stands for the token. The file has one secret "
        "per line, so that a secret can be replaced without a pause. `scheme` is the tool's by default."
    )
    own = " and ".join(
        f"for {tool.title} `{tool.key_header}`" for tool in TOOLS.values() if tool.key_header != "Authorization"
    )
    schemes = (
        ("`standard`", "Standard Webhooks: `webhook-signature` over `ID.TIMESTAMP.BODY`", "`whsec_` and base64"),
        ("`langfuse`", "`x-langfuse-signature` over `TIMESTAMP.BODY`", "16 bytes or more"),
        ("`mlflow`", "`x-mlflow-signature` over `ID.TIMESTAMP.BODY`", "16 bytes or more"),
        (
            "`shared`",
            f"the secret in the header `secret_header`, as it is or after `Bearer`; by default `Authorization`, {own}",
            f"{TOKEN_BYTES} bytes or more",
        ),
    )
    signatures = (
        f"Signatures are HMAC-SHA256 over the body without its content encoding, and valid for {TOLERANCE_SECONDS} s. "
        "Secrets in the query of an address are not accepted. Headers of webhooks are in no dead letter and in no log."
    )
    return (
        paths,
        table(("status", "body", "meaning"), statuses),
        _type(RecordsAnswer),
        section(
            "Secrets of webhooks",
            secrets,
            table(("scheme", "what is verified", "secret"), schemes),
            signatures,
            level=3,
        ),
    )


def _otlp(limits: Limits) -> Sequence[str]:
    paths = " and ".join(f"`POST {path}`" for path in OTLP_PATHS)
    takes = (
        f"{paths} take OTLP over HTTP, in protobuf and JSON, for the one source with "
        f'`tool = "{OTLP_TOOL}"`. OTLP over gRPC is not served. A whole pipeline may be sent: log records and spans '
        f"without an event `{EVENT}` are passed over, and counted as `not_an_evaluation` in "
        "`eval_alignment_ingest_source_skipped_total`. A body has at most "
        f"{limits.source_body_bytes >> 20} MiB after decompression. A collector needs an exporter:"
    )
    exporter = (
        f"exporters:\n  otlphttp/eval-alignment:\n    endpoint: {BASE}\n    headers:\n      Authorization: Bearer TOKEN"
    )
    answers = (
        "Answers are in the encoding of the request: that of 200 is the response of the signal's service, others are "
        "`google.rpc.Status`, except for 401, 405 and 500, which are problems."
    )
    rejected = (
        "An evaluation that cannot be read, or that a worker would reject, is in `partial_success` with its reason; it "
        "does not become a dead letter, and the others of the request are taken. A trace id has 32 hexadecimal digits "
        "in JSON, and 16 bytes in protobuf; base64 is rejected. Evaluations that are skipped, for example without a "
        "rule, are in the metric only."
    )
    statuses = ((str(status), text) for status, text in sorted(OTLP_STATUSES.items()))
    return takes, fenced("yaml", exporter), table(("status", "meaning"), statuses), answers, rejected


def _type(of: type) -> str:
    documented = field_docs(of)
    rows = [
        (f"`{name}`", type_text(annotation, lambda other: f"[{other.__name__}](#{other.__name__.lower()})"), text)
        for name, annotation in get_type_hints(of).items()
        for text in (documented.get(name, ""),)
    ]
    return section(of.__name__, (of.__doc__ or "").strip(), table(("field", "type", "meaning"), rows), level=3)


def _example(request: IngestRequest, answer: httpx.Response) -> str:
    return section(
        request.title,
        fenced("console", request.command),
        f"Answer {answer.status_code}:",
        json_block(answer.json()),
        level=3,
    )


async def _send(requests: Sequence[IngestRequest]) -> dict[str, httpx.Response]:
    answers = {}
    async with open_door() as door:
        for request in requests:
            # curl's default.
            headers = {"Content-Type": "application/x-www-form-urlencoded", **request.headers}
            answers[request.title] = await door.client.post(EVENTS_PATH, content=request.body, headers=headers)
    return answers
