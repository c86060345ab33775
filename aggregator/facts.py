"""Facts and their merge law.

A fact is an accepted event in normal form: times are integer milliseconds, names are NFC, the verdict is resolved,
long text is cut. It is the current or a former content of one row. Rows are identified by `key` and merge by
last writer wins on `version`, a total order that depends on the content alone, never on arrival:
merging is commutative, associative and idempotent.

A ledger value is the fact as JSON, with the field names of the wire, so it is an event that can be loaded again.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import product
from typing import Annotated, Final, Literal

import msgspec
import orjson

from aggregator.ratings import Thumbs, level_of

MAX_NAME: Final = 128
MAX_ID: Final = 256
MAX_TEXT_BYTES: Final = 8 * 1024
MAX_URL_BYTES: Final = 2 * 1024
LATEST_AT: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z in milliseconds."""

Level = Literal["trace", "span", "thread"]
Direction = Literal["higher", "lower"]
Status = Literal["ok", "error", "skipped"]

# What a type can say of the normal form; nothing checks it where a fact is made in code, everything where one is read.
Time = Annotated[int, msgspec.Meta(ge=0, le=LATEST_AT)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
IdOrNone = Annotated[str, msgspec.Meta(max_length=MAX_ID)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
NameOrNone = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
Stars = Annotated[int, msgspec.Meta(ge=1, le=5)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_BYTES)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL_BYTES)]

DEFAULT_CRITERION: Final = "overall"

_REST_LIMIT: Final = 64
"""Characters of a version's rest; a longer one is replaced by its digest, so that a row in memory stays small."""


class Annotation(msgspec.Struct, omit_defaults=True, gc=False):
    """A person judged an item. Identity: (queue, item, criterion, annotator)."""

    at: Time
    id: Id
    queue: Name
    item: Id
    level: Level = "trace"
    criterion: Name = DEFAULT_CRITERION
    annotator: IdOrNone = ""
    thumbs: Thumbs | None = None
    stars: Stars | None = None
    explanation: Text | None = None
    expected: Text | None = None
    url: Url | None = None
    deleted: bool = False

    @property
    def rating(self) -> int:
        """Index of the rating in `ratings.LEVELS`; `ratings.NO_RATING` when deleted."""
        return level_of(self.thumbs, self.stars)


class Evaluation(msgspec.Struct, omit_defaults=True, gc=False):
    """A metric scored an item. Identity: (item, metric, judge); a failure is a row beside the verdict's.

    `passed` is the resolved verdict: present exactly when the fact is neither a failure nor deleted.
    """

    at: Time
    id: Id
    item: Id
    metric: Name
    level: Level = "trace"
    judge: NameOrNone = ""
    score: float | None = None
    threshold: float | None = None
    direction: Direction = "higher"
    passed: bool | None = None
    status: Status = "ok"
    reason: Text | None = None
    url: Url | None = None
    deleted: bool = False

    @property
    def failed(self) -> bool:
        """Whether this is a failure (error or skipped): coverage, never a verdict."""
        return self.status != "ok"


class QueueItem(msgspec.Struct, omit_defaults=True, gc=False):
    """An item stands in a queue, or (deleted) was taken out of it. Identity: (queue, item)."""

    at: Time
    id: Id
    queue: Name
    item: Id
    level: Level = "trace"
    url: Url | None = None
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
    # `type`, not `isinstance`, here and wherever every event passes: saying no takes the latter long for a Struct.
    if type(fact) is Annotation:
        return _encode(("a", fact.queue, fact.item, fact.criterion, fact.annotator))
    if type(fact) is Evaluation:
        return _encode(("e" if fact.status == "ok" else "x", fact.item, fact.metric, fact.judge))
    return _encode(("q", fact.queue, fact.item))  # type: ignore[union-attr]


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
    """The row's version as one text: 15-digit `at`, `id`, NUL, and the rest of the content.

    Two facts of one identity have equal versions exactly when they are equal. No id has control characters, so
    comparing these texts is comparing (`at`, `id`, `rest`).
    """
    return f"{fact.at:015d}{fact.id}\0{rest(fact)}"


def rest(fact: Fact) -> str:
    """What decides between facts of one identity, time and id: the rest of the content, which arrival cannot change.

    It leaves out what the identity fixes, except the judge: the latest evaluation over judges is found by the same
    order.
    """
    if type(fact) is Annotation:
        if fact.explanation is None and fact.expected is None and fact.url is None:
            # A rating without words, by far the most common: no JSON needed.
            return _WORDLESS[fact.thumbs, fact.stars, fact.level]
        return _short(orjson.dumps((fact.rating, fact.level, fact.explanation, fact.expected, fact.url)))
    if type(fact) is Evaluation:
        if (
            fact.reason is None
            and fact.url is None
            and fact.status == "ok"
            and fact.level == "trace"
            and fact.direction == "higher"
            and not fact.deleted
        ):
            return _short(orjson.dumps((fact.passed, fact.judge, fact.score, fact.threshold)))
        content = (fact.passed, fact.judge, fact.score, fact.threshold)
        more = (fact.status, fact.deleted, fact.level, fact.direction, fact.reason, fact.url)
        return _short(orjson.dumps(content + more))
    assert type(fact) is QueueItem, "there are three kinds of facts"
    return _short(orjson.dumps((fact.deleted, fact.level, fact.url)))


def _short(rest: bytes) -> str:
    return rest.decode() if len(rest) <= _REST_LIMIT else blake2b(rest, digest_size=16).hexdigest()


_THUMBS: Final[tuple[Thumbs | None, ...]] = (None, "down", "up")
_WORDLESS: Final = {
    (thumbs, stars, level): f"{level_of(thumbs, stars)}{level}"
    for thumbs, stars, level in product(_THUMBS, (None, 1, 2, 3, 4, 5), ("trace", "span", "thread"))
}
"""The rest of annotations without words, by thumbs, stars and level: one text each, however many rows share it."""
