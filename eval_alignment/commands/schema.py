"""`schema`: prints the JSON Schemas of events and of the snapshot document."""

from typing import Any, Final

import click
import orjson

from aggregator.snapshot import schema as snapshot_schema
from aggregator.snapshot.schema import json_schema
from sinks.api.field_docs import describe
from streams.events.decoder import Kind
from streams.events.schemas import DIALECT, event_schema

_SNAPSHOT: Final = "snapshot"
_KINDS: Final = {kind.value.replace("_", "-"): kind for kind in Kind}


@click.command(short_help="Print the JSON Schema of events and documents.")
@click.argument("name", required=False, type=click.Choice([*_KINDS, _SNAPSHOT]))
def schema(name: str | None) -> None:
    """Print the JSON Schema of an event or of the snapshot document. Without NAME, print all four by name."""
    schemas = {what: event_schema(kind) for what, kind in _KINDS.items()} | {_SNAPSHOT: _snapshot()}
    click.echo(orjson.dumps(schemas if name is None else schemas[name], option=orjson.OPT_INDENT_2))


def _snapshot() -> dict[str, Any]:
    document, parts = json_schema()
    describe(parts, snapshot_schema)
    return {"$schema": DIALECT, **document, "$defs": parts}
