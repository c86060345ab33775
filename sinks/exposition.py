"""The metrics of a registry in the format that a scraper asks for."""

import re
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder

_VERSION: Final = re.compile(r"version\s*=([^;,]*)", re.IGNORECASE)
_NUMBERS: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}")


class Exposition(NamedTuple):
    """What is scraped."""

    body: bytes
    content_type: str


def expose(registry: CollectorRegistry, accept: str) -> Exposition:
    """The metrics in the best format of an Accept header; in text format 0.0.4 if it names an invalid version."""
    # prometheus_client compares what is no number with one, and repeats the version in the type of the content.
    if not all(_NUMBERS.fullmatch(version) for version in _VERSION.findall(accept)):
        return Exposition(generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)
    encode, content_type = choose_encoder(accept)
    return Exposition(encode(registry), content_type)
