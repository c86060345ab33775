"""The tools that a source can have, by the name in the setting `tool`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from aggregator.facts import Fact
from sources import names
from sources.item_paths import path_problems
from sources.meaning import Rules
from sources.records import SourceRecord
from sources.rules import SourceSettings, WebhookScheme
from sources.shapes import documents
from sources.tools import (
    argilla,
    braintrust,
    datadog,
    deepeval,
    events,
    generic,
    labelstudio,
    langfuse,
    langsmith,
    mlflow,
    opik,
    otel,
    phoenix,
    promptfoo,
    ragas,
    weave,
)

Channel = Literal["push", "pull", "file"]

OTLP_TOOL: Final = "otel"
"""The tool whose source takes what arrives by OTLP."""


def _always(_settings: SourceSettings) -> bool:
    return True


def _none(_settings: SourceSettings) -> Iterable[str]:
    return ()


def _whole(content: bytes) -> Iterable[bytes]:
    return (content,)


def _never(_settings: SourceSettings) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Tool:
    """How the payloads of a tool are read."""

    title: str
    """The tool's name as people write it."""
    channels: tuple[Channel, ...]
    """How its records arrive; the first is the usual one."""
    map: Callable[[bytes, Rules], Iterator[SourceRecord]]
    """The records of one document. Raises UnknownShapeError for a document that is none of the tool's."""
    owns: Callable[[SourceSettings], bool] = _always
    """Whether its records have ids, so that an owner index remembers what they said."""
    documents: Callable[[bytes], Iterable[bytes]] = documents
    """The documents of a file or body."""
    problems: Callable[[SourceSettings], Iterable[str]] = _none
    """What is wrong with the settings of a source of this tool."""
    scheme: WebhookScheme = "shared"
    """How its webhooks show that they have the secret."""
    key_header: str = "Authorization"
    """Header in which its SDK, or its settings of webhooks, can send a secret."""
    record: str = field(kw_only=True)
    """Where the settings `input`, `output`, `url_path` and `tags` find their values; empty: its events have them."""
    columns: bool = field(default=False, kw_only=True)
    """Whether these settings name columns instead of paths."""
    numbered: bool = field(default=False, kw_only=True)
    """Whether its records have versions of their own. Those of other tools have times only, also in ids of events."""
    native: Callable[[str, Fact, SourceSettings], str] = field(default=names.whole, kw_only=True)
    """The tool's id of the record of an event, by the name in the id of the event."""


TOOLS: Final[Mapping[str, Tool]] = {
    "argilla": Tool(
        "Argilla",
        ("push",),
        argilla.records,
        scheme="standard",
        native=names.before_slash,
        record="`data` of the body: the response",
    ),
    "braintrust": Tool(
        "Braintrust",
        ("pull", "file"),
        braintrust.records,
        numbered=True,
        native=names.of_braintrust,
        record="the span of `events`",
    ),
    "confident": Tool(
        "Confident AI",
        ("push", "file"),
        deepeval.annotations,
        _never,
        key_header="CONFIDENT_API_KEY",
        record="the body",
    ),
    "csv": Tool(
        "a table",
        ("file",),
        generic.table_records,
        generic.has_ids,
        _whole,
        generic.problems,
        native=names.of_table,
        record="the row",
        columns=True,
    ),
    "datadog": Tool(
        "Datadog",
        ("pull", "push", "file"),
        datadog.records,
        key_header="DD-API-KEY",
        native=names.of_datadog,
        record="the metric of `metrics`, or the interaction of `annotated_interactions`",
    ),
    "deepeval": Tool(
        "DeepEval", ("file",), deepeval.records, _never, record="the test case; for the metrics of a span, the span"
    ),
    "events": Tool("events", ("push", "file"), events.records, _never, record=""),
    "json": Tool(
        "JSON",
        ("file", "push"),
        generic.json_records,
        generic.has_ids,
        problems=generic.problems,
        native=names.of_table,
        record="the record, as for `columns`",
    ),
    "labelstudio": Tool(
        "Label Studio", ("push", "file"), labelstudio.records, native=names.before_slash, record="the task"
    ),
    "langfuse": Tool(
        "Langfuse", ("pull", "file"), langfuse.records, scheme="langfuse", record="the score or queue item"
    ),
    "langsmith": Tool(
        "LangSmith", ("pull", "push", "file"), langsmith.records, native=names.before_correction, record="the feedback"
    ),
    "mlflow": Tool("MLflow", ("pull", "file"), mlflow.records, scheme="mlflow", record="the trace or queue item"),
    "opik": Tool("Opik", ("pull", "file"), opik.records, record="the trace, span or thread"),
    # Two records of one span may both be true.
    "otel": Tool(
        "OpenTelemetry",
        ("push", "file"),
        otel.records,
        _never,
        record="`attributes`, by name, of the log record or span event",
    ),
    "phoenix": Tool("Arize Phoenix", ("pull", "file"), phoenix.records, record="the annotation"),
    "promptfoo": Tool("promptfoo", ("file",), promptfoo.records, _never, record="the result of `results`"),
    "ragas": Tool("ragas", ("file",), ragas.records, _never, _whole, record="the row", columns=True),
    "weave": Tool("Weave", ("pull", "file"), weave.records, record="the feedback"),
}


def webhook_scheme(settings: SourceSettings) -> WebhookScheme:
    """How the webhooks of a source show that they have its secret."""
    return settings.scheme or TOOLS[settings.tool].scheme


def source_problems(sources: Mapping[str, SourceSettings]) -> Iterator[str]:
    """What is wrong with the settings of all sources together."""
    prefixes: dict[str, str] = {}
    for name, settings in sources.items():
        if settings.tool not in TOOLS:
            yield f"sources.{name}.tool: unknown tool {settings.tool!r}, known are {', '.join(sorted(TOOLS))}"
        elif (other := prefixes.setdefault(settings.prefix, name)) != name:
            yield f"sources.{name}.id_prefix: source {other!r} has the same; ids of events must differ"
        else:
            tool = TOOLS[settings.tool]
            problems = (*tool.problems(settings), *_path_problems(tool, settings), *_secret_problems(settings))
            yield from (f"sources.{name}.{problem}" for problem in problems)

    otel = [name for name, settings in sources.items() if settings.tool == OTLP_TOOL]
    for name in otel[1:]:
        title = TOOLS[OTLP_TOOL].title
        yield f"sources.{name}.tool: source {otel[0]!r} is {title} too, and OTLP comes to one: leave one of them out"


def _path_problems(tool: Tool, settings: SourceSettings) -> Iterator[str]:
    """What is wrong with the settings of what records say about items."""
    if not tool.record:
        yield from (f"{name} has no effect: its events have the field" for name in settings.item_paths)
    elif not tool.columns:
        yield from path_problems(settings)


def _secret_problems(settings: SourceSettings) -> Iterator[str]:
    """What is wrong with the settings of who sends webhooks."""
    if settings.secret_file is None:
        for key in ("scheme", "secret_header"):
            if getattr(settings, key) is not None:
                yield f"{key} has no effect without `secret_file`"
    elif settings.secret_header is not None and (scheme := webhook_scheme(settings)) != "shared":
        yield f"secret_header is for the scheme `shared`, not for `{scheme}`: set `scheme`, or leave the header out"
