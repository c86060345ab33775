"""The fast path of decoding: most events are in normal form already, and are decoded directly into a fact.

The type of a fact has most rules of the normal form, and msgspec checks them in C. The functions here check the rest.
They return None for every event that may not be in normal form: `streams.events.decoder` then checks it step by step.
Only that module rejects events and brings them into normal form. A name is accepted here if it was checked before.
"""

import re
from collections.abc import Container, Mapping
from typing import Final
from unicodedata import is_normalized

import msgspec

from aggregator.facts import DEFAULT_CRITERION, MAX_TEXT_BYTES, MAX_URL_BYTES, Annotation, Evaluation

GIVEN_NAMES: Final = {DEFAULT_CRITERION: DEFAULT_CRITERION}
"""Names that need no check. The default is one object, because the canonical form leaves it out by identity."""

_ANNOTATION: Final = msgspec.json.Decoder(Annotation)
_decode_evaluation: Final = msgspec.json.Decoder(Evaluation).decode
_UNUSUAL: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError)
_SURELY_SHORT: Final = MAX_TEXT_BYTES // 4
"""Number of characters of text that is never cut, even if each has four bytes.

No text is cut in a value of at most `MAX_TEXT_BYTES`: the JSON of a text has at least as many bytes.
"""
_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f]+", re.IGNORECASE)


def normal_annotation(value: bytes, names: Mapping[str, str]) -> Annotation | None:
    """Return the fact of an annotation in normal form. `names` maps every checked name to its one object."""
    try:
        fact = _ANNOTATION.decode(value)
        fact.queue, fact.criterion = names[fact.queue], names[fact.criterion]
    except _UNUSUAL:
        return None
    if (
        fact.deleted
        or (fact.thumbs is None) is (fact.stars is None)
        or not (fact.id.isprintable() and fact.item.isprintable() and fact.annotator.isprintable())
        or (fact.url is not None and not is_address(fact.url))
        or (fact.tags is not None and not _normalize_tags(fact))
        or (len(value) > MAX_TEXT_BYTES and not _are_short(fact.explanation, fact.expected, fact.input, fact.output))
    ):
        return None
    return fact


def normal_evaluation(value: bytes, names: Mapping[str, str], metrics: Container[str]) -> Evaluation | None:
    """Return the fact of a verdict in normal form, resolved. `metrics`: those that have defaults."""
    try:
        fact = _decode_evaluation(value)
        fact.metric = names[fact.metric]
        if judge := fact.judge:
            fact.judge = names[judge]
    except _UNUSUAL:
        return None
    score, threshold = fact.score, fact.threshold
    if (
        fact.deleted
        or fact.status != "ok"
        or not (fact.id.isprintable() and fact.item.isprintable())
        or (fact.url is not None and not is_address(fact.url))
        or (fact.tags is not None and not _normalize_tags(fact))
        or (len(value) > MAX_TEXT_BYTES and not _are_short(fact.reason, fact.input, fact.output))
    ):
        return None
    if fact.passed is None:
        if score is None or threshold is None or fact.metric in metrics:
            return None
        fact.passed = score <= threshold if fact.direction == "lower" else score >= threshold
    # Without a negative zero. Floats compare faster with floats.
    if score == 0.0:
        fact.score = 0.0
    if threshold == 0.0:
        fact.threshold = 0.0
    return fact


def _are_short(*texts: str | None) -> bool:
    """Return whether no text is cut. Each has at most as many characters as `MAX_TEXT_BYTES`."""
    return all(text is None or len(text) <= _SURELY_SHORT or text.isascii() for text in texts)


def _normalize_tags(fact: Annotation | Evaluation) -> bool:
    """Bring the tags into the order of their names; return False if their values may not be in normal form."""
    tags = fact.tags
    assert tags is not None
    for value in tags.values():
        if not value.isprintable() or not is_normalized("NFC", value):
            return False
    if len(tags) > 1:
        fact.tags = dict(sorted(tags.items()))
    return True


def is_address(value: str) -> bool:
    """Return whether the text is an http or https address of at most `MAX_URL_BYTES`."""
    return len(value.encode()) <= MAX_URL_BYTES and _URL.fullmatch(value) is not None
