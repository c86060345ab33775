"""Facts and their merge law.

A fact is an accepted event in normal form: times are integer milliseconds, names are NFC, the verdict is resolved, and
long text is cut. `key` identifies the row that a fact belongs to. The fact with the highest `version` is the row. The
version depends on the content alone and never on arrival, so merging is commutative, associative and idempotent.

A ledger value is the fact as JSON with the field names of events, so it can be loaded again as an event.
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
MAX_TAGS: Final = 16
MAX_TAG_NAME: Final = 63
MAX_TAG_VALUE: Final = 128
TAG_NAME: Final = f"[a-z][a-z0-9_]{{0,{MAX_TAG_NAME - 1}}}"
"""Regular expression of the names of tags."""
LATEST_AT: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z in milliseconds."""

Level = Literal["trace", "span", "thread"]
Direction = Literal["higher", "lower"]
Status = Literal["ok", "error", "skipped"]

# The part of the normal form that types express. Decoders check it; the constructors of facts do not.
Time = Annotated[int, msgspec.Meta(ge=0, le=LATEST_AT)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
IdOrEmpty = Annotated[str, msgspec.Meta(max_length=MAX_ID)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
NameOrEmpty = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
Stars = Annotated[int, msgspec.Meta(ge=1, le=5)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_BYTES)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL_BYTES)]
TagName = Annotated[str, msgspec.Meta(pattern=rf"^{TAG_NAME}\Z")]
TagValue = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TAG_VALUE)]
Tags = Annotated[dict[TagName, TagValue], msgspec.Meta(min_length=1, max_length=MAX_TAGS)]
"""Value by name, in the order of names."""

DEFAULT_CRITERION: Final = "overall"

_REST_LIMIT: Final = 64
"""Characters of the rest of a version. A digest replaces a longer one, which keeps rows in memory small."""


class Annotation(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A person judged an item. Identity: (queue, item, criterion, annotator)."""

    at: Time
    id: Id
    queue: Name
    item: Id
    level: Level = "trace"
    criterion: Name = DEFAULT_CRITERION
    annotator: IdOrEmpty = ""
    thumbs: Thumbs | None = None
    stars: Stars | None = None
    explanation: Text | None = None
    expected: Text | None = None
    url: Url | None = None
    input: Text | None = None
    output: Text | None = None
    tags: Tags | None = None
    deleted: bool = False

    @property
    def rating(self) -> int:
        """Index of the rating in `ratings.LEVELS`; `ratings.NO_RATING` when deleted."""
        return level_of(self.thumbs, self.stars)


class Evaluation(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A metric scored an item. Identity: (item, metric, judge); failures and verdicts are separate rows."""

    at: Time
    id: Id
    item: Id
    metric: Name
    level: Level = "trace"
    judge: NameOrEmpty = ""
    score: float | None = None
    threshold: float | None = None
    direction: Direction = "higher"
    passed: bool | None = None
    """The resolved verdict; None for a failure and for a deletion."""
    status: Status = "ok"
    reason: Text | None = None
    url: Url | None = None
    input: Text | None = None
    output: Text | None = None
    tags: Tags | None = None
    deleted: bool = False

    @property
    def failed(self) -> bool:
        """Whether the evaluation failed (error or skipped), so that it has no verdict."""
        return self.status != "ok"


class QueueItem(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An item is put into a queue, or (deleted) taken out of it. Identity: (queue, item)."""

    at: Time
    id: Id
    queue: Name
    item: Id
    level: Level = "trace"
    url: Url | None = None
    input: Text | None = None
    output: Text | None = None
    tags: Tags | None = None
    deleted: bool = False


Fact = Annotation | Evaluation | QueueItem

# The results stay in memory, where a result of orjson would keep its whole buffer of about 4 KiB.
_encode = msgspec.json.Encoder().encode
_TYPES: Final[Mapping[bytes, type[Fact]]] = {b"a": Annotation, b"e": Evaluation, b"x": Evaluation, b"q": QueueItem}
_decode: Final[Mapping[bytes, Callable[[bytes], Fact]]] = {
    kind: msgspec.json.Decoder(fact).decode for kind, fact in _TYPES.items()
}
_NAMES: Final[Mapping[str, int]] = {"a": 4, "e": 3, "x": 3, "q": 2}
"""Number of names in a ledger key, by kind."""


def key(fact: Fact) -> bytes:
    """The identity of the fact's row as a ledger key: a JSON array that starts with the kind.

    >>> key(Evaluation(at=1, id="e1", item="i", metric="relevance", judge="v2", passed=True))
    b'["e","i","relevance","v2"]'
    """
    # `type` instead of `isinstance` wherever every event passes: for a Struct, a false `isinstance` is slow.
    if type(fact) is Annotation:
        return _encode(("a", fact.queue, fact.item, fact.criterion, fact.annotator))
    if type(fact) is Evaluation:
        return _encode(("e" if fact.status == "ok" else "x", fact.item, fact.metric, fact.judge))
    return _encode(("q", fact.queue, fact.item))  # type: ignore[union-attr]


def encode(fact: Fact) -> bytes:
    """The fact as a ledger value: JSON with fields in a fixed order, without defaults."""
    return _encode(fact)


def identity(key: bytes) -> tuple[str, ...]:
    """The kind and the names of a ledger key. Raises ValueError when no row has such a key.

    >>> identity(b'["q","support","item-1"]')
    ('q', 'support', 'item-1')
    """
    parts = orjson.loads(key)
    if (
        not isinstance(parts, list)
        or not all(isinstance(part, str) for part in parts)
        or len(parts) < 1
        or _NAMES.get(parts[0]) != len(parts) - 1
    ):
        raise ValueError(f"invalid key of a fact: {key[:200]!r}")
    if _encode(parts) != key:
        raise ValueError(f"invalid key of a fact, workers write the same array in other bytes: {key[:200]!r}")
    return tuple(parts)


def parse(key: bytes, value: bytes) -> Fact:
    """The fact of a ledger record; the key determines its kind. Raises ValueError for an invalid record.

    Fields that a newer release added are ignored.
    """
    decode = _decode.get(key[2:3])
    if decode is None:
        raise ValueError(f"invalid key of a fact: {key[:200]!r}")
    try:
        try:
            fact = decode(value)
        except msgspec.ValidationError:
            fact = _parse_known(_TYPES[key[2:3]], value)
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None
    if not _is_normal(fact):
        raise ValueError("it is neither deleted nor has a result, or both")
    # Compaction keeps one record of each key, so a row is under its own key only.
    if (own := _key(fact)) != key:
        raise ValueError(f"the value is that of another key: {own[:200]!r}")
    return fact


def _is_normal(fact: Fact) -> bool:
    """Whether a fact is deleted or has a rating, a verdict or a failure, and not both."""
    if type(fact) is Annotation:
        return ((fact.thumbs is None) is not (fact.stars is None)) is not fact.deleted
    if type(fact) is Evaluation:
        return (fact.passed is not None or fact.status != "ok") is not fact.deleted
    return True


def _parse_known(fact: type[Fact], value: bytes) -> Fact:
    fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    known = {name: fields[name] for name in fact.__struct_fields__ if name in fields}
    return msgspec.json.decode(msgspec.json.encode(known), type=fact)


def version(fact: Fact) -> str:
    """The version as one string: `at` with 15 digits, `id`, NUL, and the rest of the content.

    Two facts of one identity have equal versions exactly when they are equal. An id has no control characters, so
    these strings compare like (`at`, `id`, `rest`).
    """
    return f"{fact.at:015d}{fact.id}\0{rest(fact)}"


def rest(fact: Fact) -> str:
    """The part of the content that decides between facts of the same identity, time and id.

    It leaves out the fields of the identity, except the judge: the same order finds the latest evaluation over all
    judges.
    """
    if type(fact) is Annotation:
        if (
            fact.explanation is None
            and fact.expected is None
            and fact.url is None
            and fact.input is None
            and fact.output is None
            and fact.tags is None
        ):
            # By far the most common.
            return _REST_WITHOUT_TEXT[fact.thumbs, fact.stars, fact.level]
        return _digest(fact, (fact.rating, fact.level, fact.explanation, fact.expected, fact.url))
    if type(fact) is Evaluation:
        if (
            fact.reason is None
            and fact.url is None
            and fact.input is None
            and fact.output is None
            and fact.tags is None
            and fact.status == "ok"
            and fact.level == "trace"
            and fact.direction == "higher"
            and not fact.deleted
        ):
            return _short(orjson.dumps((fact.passed, fact.judge, fact.score, fact.threshold)))
        content = (fact.passed, fact.judge, fact.score, fact.threshold)
        more = (fact.status, fact.deleted, fact.level, fact.direction, fact.reason, fact.url)
        return _digest(fact, content + more)
    assert type(fact) is QueueItem
    return _digest(fact, (fact.deleted, fact.level, fact.url))


def _digest(fact: Fact, content: tuple[object, ...]) -> str:
    """The content as a short text. Fields that 0.1.0 did not have are a part of it only if one is present."""
    if fact.input is None and fact.output is None and fact.tags is None:
        return _short(orjson.dumps(content))
    return _short(orjson.dumps((*content, fact.input, fact.output, fact.tags), option=orjson.OPT_SORT_KEYS))


def _short(rest: bytes) -> str:
    return rest.decode() if len(rest) <= _REST_LIMIT else blake2b(rest, digest_size=16).hexdigest()


_key: Final = key
"""The function, where an argument has its name."""

_THUMBS: Final[tuple[Thumbs | None, ...]] = (None, "down", "up")
_REST_WITHOUT_TEXT: Final = {
    (thumbs, stars, level): f"{level_of(thumbs, stars)}{level}"
    for thumbs, stars, level in product(_THUMBS, (None, 1, 2, 3, 4, 5), ("trace", "span", "thread"))
}
"""The rest of annotations without text, by thumbs, stars and level: one string, shared by all rows."""
