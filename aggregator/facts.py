"""Facts and their merge law.

A fact is an accepted event in normal form: times are integer milliseconds, names are NFC, the verdict is resolved,
long text is cut. It is the current or a former content of one row. Rows are identified by `key` and merge by
last writer wins on `version`, a total order that depends on the content alone, never on arrival:
merging is commutative, associative and idempotent.

A ledger value is the fact as JSON, with the field names of the wire, so it is an event that can be loaded again.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final, Literal

import msgspec
import orjson

from aggregator.ratings import Thumbs, level_of

Level = Literal["trace", "span", "thread"]
Direction = Literal["higher", "lower"]
Status = Literal["ok", "error", "skipped"]

DEFAULT_CRITERION: Final = "overall"

_USUAL: Final = ("ok", False, "trace", "higher", None, None)
"""Status, deleted, level, direction, reason and url of most evaluations."""

_REST_LIMIT: Final = 64
"""Characters of a version's rest; a longer one is replaced by its digest, so that a row in memory stays small."""


class Annotation(msgspec.Struct, omit_defaults=True, gc=False):
    """A person judged an item. Identity: (queue, item, criterion, annotator)."""

    at: int
    id: str
    queue: str
    item: str
    level: Level = "trace"
    criterion: str = DEFAULT_CRITERION
    annotator: str = ""
    thumbs: Thumbs | None = None
    stars: int | None = None
    explanation: str | None = None
    expected: str | None = None
    url: str | None = None
    deleted: bool = False

    @property
    def rating(self) -> int:
        """Index of the rating in `ratings.LEVELS`; `ratings.NO_RATING` when deleted."""
        return level_of(self.thumbs, self.stars)


class Evaluation(msgspec.Struct, omit_defaults=True, gc=False):
    """A metric scored an item. Identity: (item, metric, judge); a failure is a row beside the verdict's.

    `passed` is the resolved verdict: present exactly when the fact is neither a failure nor deleted.
    """

    at: int
    id: str
    item: str
    metric: str
    level: Level = "trace"
    judge: str = ""
    score: float | None = None
    threshold: float | None = None
    direction: Direction = "higher"
    passed: bool | None = None
    status: Status = "ok"
    reason: str | None = None
    url: str | None = None
    deleted: bool = False

    @property
    def failed(self) -> bool:
        """Whether this is a failure (error or skipped): coverage, never a verdict."""
        return self.status != "ok"


class QueueItem(msgspec.Struct, omit_defaults=True, gc=False):
    """An item stands in a queue, or (deleted) was taken out of it. Identity: (queue, item)."""

    at: int
    id: str
    queue: str
    item: str
    level: Level = "trace"
    url: str | None = None
    deleted: bool = False


Fact = Annotation | Evaluation | QueueItem

# For what stays in memory: an orjson result keeps its whole buffer, some 4 KiB, for as long as it is held.
_encode = msgspec.json.Encoder().encode
_decode: Final[Mapping[bytes, Callable[[bytes], Fact]]] = {
    b"a": msgspec.json.Decoder(Annotation).decode,
    b"e": msgspec.json.Decoder(Evaluation).decode,
    b"x": msgspec.json.Decoder(Evaluation).decode,
    b"q": msgspec.json.Decoder(QueueItem).decode,
}


def key(fact: Fact) -> bytes:
    """The row's identity as the ledger's key: a JSON array that starts with its kind.

    >>> key(Evaluation(at=1, id="e1", item="i", metric="relevance", judge="v2", passed=True))
    b'["e","i","relevance","v2"]'
    """
    if isinstance(fact, Annotation):
        return _encode(("a", fact.queue, fact.item, fact.criterion, fact.annotator))
    if isinstance(fact, Evaluation):
        return _encode(("x" if fact.status != "ok" else "e", fact.item, fact.metric, fact.judge))
    return _encode(("q", fact.queue, fact.item))


def encode(fact: Fact) -> bytes:
    """The fact as a ledger value: canonical JSON, fields in a fixed order, defaults left out."""
    return _encode(fact)


def parse(key: bytes, value: bytes) -> Fact:
    """The fact of a ledger row, from its key (which tells the kind) and value. Raises ValueError on any other row."""
    decode = _decode.get(key[2:3])
    if decode is None:
        raise ValueError(f"not the key of a fact: {key[:200]!r}")
    return decode(value)


def version(fact: Fact) -> str:
    """The row's version: 15-digit `at`, `id`, NUL, and the rest of the content; one comparison decides a merge.

    Two facts of one identity have equal versions exactly when they are equal. `rest` leaves out what the identity
    fixes, except the judge: the latest evaluation over judges is found by the same order.
    """
    if isinstance(fact, Annotation):
        rating = fact.rating
        if fact.explanation is None and fact.expected is None and fact.url is None:
            # A rating without words, by far the most common: no JSON needed.
            return f"{fact.at:015d}{fact.id}\0{rating}{fact.level}"
        rest = orjson.dumps((rating, fact.level, fact.explanation, fact.expected, fact.url))
    elif isinstance(fact, Evaluation):
        content = (fact.passed, fact.judge, fact.score, fact.threshold)
        more = (fact.status, fact.deleted, fact.level, fact.direction, fact.reason, fact.url)
        rest = orjson.dumps(content if more == _USUAL else content + more)
    else:
        rest = orjson.dumps((fact.deleted, fact.level, fact.url))
    text = rest.decode() if len(rest) <= _REST_LIMIT else blake2b(rest, digest_size=16).hexdigest()
    return f"{fact.at:015d}{fact.id}\0{text}"
