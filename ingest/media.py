"""What the headers of a request say about its body: encoding, format, and the attributes of a CloudEvent."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

ENCODINGS: Final = ("gzip", "zstd")
"""Content encodings that are taken, besides none."""
_ALIASES: Final = {"x-gzip": "gzip", "gzip": "gzip", "zstd": "zstd"}

CE_PREFIX: Final = "ce-"
_CLOUD_EVENTS: Final = "application/cloudevents"
STRUCTURED_TYPE: Final = "application/cloudevents+json"


class Format(Enum):
    """How the events of a body are framed."""

    JSON = auto()
    """One object, or an array of them."""
    NDJSON = auto()
    """One object per line."""
    GUESSED = auto()
    """By the first bytes, since the type is missing or another: JSON or NDJSON."""
    BINARY = auto()
    """One CloudEvent: the body is its data, headers have its attributes."""
    STRUCTURED = auto()
    """One CloudEvent as an object."""
    BATCH = auto()
    """An array of CloudEvents as objects."""


TYPES: Final[Mapping[str, Format]] = {
    "application/json": Format.JSON,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "application/x-jsonlines": Format.NDJSON,
    STRUCTURED_TYPE: Format.STRUCTURED,
    "application/cloudevents-batch+json": Format.BATCH,
}
"""Formats by media type."""


def format_of(headers: Headers) -> Format:
    """The format of a body, by its headers. Raises HTTPException (415) for a format of CloudEvents other than JSON."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    named = TYPES.get(media_type, Format.GUESSED)
    if media_type.startswith(_CLOUD_EVENTS):
        if named is Format.GUESSED:
            raise unsupported(media_type)
        return named
    return Format.BINARY if f"{CE_PREFIX}specversion" in headers else named


def unsupported(media_type: str) -> HTTPException:
    """The refusal (415) of a media type, which names those that are taken."""
    found = f"content type {media_type} is not supported" if media_type else "the body has no content type"
    return HTTPException(
        415,
        f"{found}, and the body is not JSON: expected {', '.join(TYPES)}; a body that begins with {{ or [ is read as "
        "JSON or NDJSON under any other type",
        {"Accept-Post": ", ".join(TYPES)},
    )


def refuse_web_pages(headers: Headers) -> None:
    """Raise HTTPException (403) for a request of a web page."""
    if "origin" in headers:
        # A page of another site can send a request from its visitor's browser, but cannot leave out this header.
        raise HTTPException(403, "requests of web pages are not served: send from a server")


def encoding_of(headers: Headers) -> str | None:
    """The content encoding, one of `ENCODINGS`; None for a plain body. Raises HTTPException (415) for another."""
    named = [part.strip().lower() for value in headers.getlist("content-encoding") for part in value.split(",")]
    applied = [part for part in named if part not in ("", "identity")]
    if not applied:
        return None
    encoding = _ALIASES.get(applied[0])
    if encoding is None or len(applied) > 1:
        raise HTTPException(
            415,
            f"content encoding {', '.join(applied)} is not supported: expected one of {', '.join(ENCODINGS)}, or none",
            {"Accept-Encoding": ", ".join(ENCODINGS)},
        )
    return encoding


def cloud_event_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    r"""The attributes of a CloudEvent in the headers of a request, as headers of a Kafka record.

    >>> cloud_event_headers(Headers({"ce-specversion": "1.0", "ce-id": "Euro%20%E2%82%AC", "host": "x"}))
    [('ce_specversion', b'1.0'), ('ce_id', b'Euro \xe2\x82\xac')]
    """
    return [
        (f"ce_{name.removeprefix(CE_PREFIX)}", unquote_to_bytes(value.encode("latin-1")))
        for name, value in headers.items()
        if name.startswith(CE_PREFIX)
    ]
