"""Events of the product's own contract, and CloudEvents with such an event in `data`. They keep their ids and times."""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw, Struct

from sources.meaning import Rules
from sources.records import OwnEvent, SourceRecord
from sources.shapes import read

_STRUCTURED: Final = (("content-type", b"application/cloudevents+json"),)


class _EventEnvelope(Struct):
    id: str | None = None
    specversion: str | None = None


def records(document: bytes, _rules: Rules) -> Iterator[SourceRecord]:
    """The events of a document: one, or a list of them."""
    content = read(document, list[Raw], Raw)
    for raw in content if isinstance(content, list) else [content]:
        try:
            envelope = msgspec.json.decode(raw, type=_EventEnvelope)
        except msgspec.ValidationError:
            # The decoder rejects it, with a reason.
            envelope = _EventEnvelope()
        headers = () if envelope.specversion is None else _STRUCTURED
        yield SourceRecord(envelope.id or "", (OwnEvent(bytes(raw), headers),))
