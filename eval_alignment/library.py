"""Counting without Kafka, files or settings: one function for use as a library."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from aggregator.policy import Policy
from aggregator.recount import Recount
from streams.events.decoder import Decoder, Rejection
from streams.events.errors import InvalidEventError


def recount(
    events: Iterable[bytes | str | Mapping[str, Any]],
    *,
    policy: Policy = Policy.EACH,
    decoder: Decoder | None = None,
) -> Recount:
    """Count annotations, evaluations and queue items, in any order and any mix.

    Args:
        events: JSON objects as text (lines of an NDJSON file, blank ones are skipped) or as mappings.
        policy: which annotations are compared.
        decoder: validates the events and knows the defaults of metrics; by default one without defaults.

    Raises InvalidEventError at the first invalid event.

    >>> counted = recount(
    ...     [
    ...         {"id": "a1", "at": 1764000000000, "queue": "support", "item": "1", "thumbs": "up"},
    ...         {"id": "e1", "at": 1764000000000, "item": "1", "metric": "tone", "score": 0.9, "threshold": 0.5},
    ...     ]
    ... )
    >>> counted.queues, counted.document("support")["cards"]["comparisons"]
    (['support'], 1)
    """
    decoder = decoder or Decoder()
    facts = []
    for number, event in enumerate(events, start=1):
        line = orjson.dumps(event) if isinstance(event, Mapping) else event
        line = line.encode() if isinstance(line, str) else line
        if not line.strip():
            continue
        decoded = decoder.decode_line(line)
        if isinstance(decoded, Rejection):
            raise InvalidEventError(f"event {number}: {decoded.reason.value}: {decoded.detail}")
        facts.append(decoded[1])
    return Recount(facts, policy)
