"""Fuzzes the logs of workers: a real restore reads a ledger and tallies with records that no worker wrote.

The records are nearly valid: those of a worker, with a null value, a key of another row, a field of another type, a
number that is too large. A restore ends with no error but those it names; it counts what a recount of the readable rows
counts, or puts the partition in quarantine and publishes nothing of it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import msgspec
import orjson
from aiokafka import TopicPartition
from faust.types import TP
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aggregator.day_tallies import MAX_TALLIES
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem, encode, key, parse
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.tallies import MARKER_KEY, empty, join, parse_key, parse_marker, parse_payload, parse_stamp
from streams.engine.checkpoint import Checkpoint
from streams.engine.partition import OwnedPartition, OwnedPartitions
from streams.engine.restore import Restore
from streams.kafka.batches import Batch
from streams.kafka.client import KAFKA
from streams.kafka.topic_metadata import TopicMetadata
from streams.kafka.topics import Topics
from streams.ledger import log as log_module
from streams.ledger.claim import CLAIM_KEY, SCHEMA, parse_claim
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from streams.runtime.health import Health
from streams.runtime.metrics import WorkerMetrics

TOPICS: Final = Topics()
PARTITIONS: Final = 2
DAMAGED: Final = 0
"""The partition with damaged logs; the other one is always sound."""
_METRICS: Final = WorkerMetrics("fuzz", lambda: ())
_T0: Final = 1_780_000_000_000

Row = tuple[bytes | None, bytes | None]
Spoil = Callable[[Row, int], Row]
"""Spoils a record; the number chooses how."""


@dataclass(slots=True)
class _Record:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class LogPartition:
    """One partition of a log on the broker."""

    records: list[_Record] = field(default_factory=list)
    end: int = 0
    start: int = 0
    """The oldest offset that is left. Compaction does not move it."""

    def append(self, rows: Iterable[Row]) -> int:
        """Append records; returns the offset of the first."""
        base = self.end
        for row_key, value in rows:
            self.records.append(_Record(self.end, row_key, value))
            self.end += 1
        return base

    def delete(self, before: int) -> None:
        """Delete the records before an offset."""
        self.start = before
        self.records = [record for record in self.records if record.offset >= before]

    def compact(self) -> None:
        """Keep the last record of each key."""
        last = {record.key: record.offset for record in self.records}
        self.records = [record for record in self.records if last[record.key] == record.offset]


Logs = dict[tuple[str, int], LogPartition]


class _Batch:
    """A batch of the producer, as the product uses aiokafka's."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._builder = self
        self._relative_offset = 0

    def append(self, offset: int, timestamp: int, row_key: bytes, value: bytes | None, headers: Any) -> object | None:
        del offset, timestamp, headers
        if len(self.rows) == 100_000:
            return None
        self.rows.append((row_key, value))
        return self

    def record_count(self) -> int:
        return len(self.rows)

    def size(self) -> int:
        return len(self.rows)


@dataclass(slots=True)
class LogsClient:
    """Producer, reader and group together, on logs in memory."""

    logs: Logs
    positions: dict[TopicPartition, int] = field(default_factory=dict)

    def create_batch(self) -> _Batch:
        return _Batch()

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(SimpleNamespace(offset=self.logs[topic, partition].append(batch.rows), timestamp=_T0))
        return acknowledged

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self.logs[tp.topic, tp.partition].start for tp in partitions}

    def highwater(self, tp: TopicPartition) -> int:
        return self.logs[tp.topic, tp.partition].end

    def read(self, wanted: Collection[TopicPartition]) -> list[Batch]:
        batches = []
        for tp in wanted:
            part, start = self.logs[tp.topic, tp.partition], self.positions[tp]
            records: list[Any] = [record for record in part.records if record.offset >= start]
            batches.append(Batch(tp.topic, tp.partition, start, part.end, records))
            self.positions[tp] = part.end
        return batches

    def assigned(self) -> set[TP]:
        return {TP(topic, partition) for topic in TOPICS.sources for partition in range(PARTITIONS)}

    async def committed(self, partitions: Iterable[TP]) -> Mapping[TP, int | None]:
        return dict.fromkeys(partitions)

    async def starts(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        return dict.fromkeys(partitions, 0)

    async def seek_all(self, positions: Mapping[TP, int]) -> None:
        del positions

    async def commit(self, positions: Mapping[TP, int]) -> bool:
        del positions
        return True


async def fetched(consumer: Any, wanted: Collection[TopicPartition], _: float) -> list[Batch]:
    client: LogsClient = consumer
    return client.read(wanted)


async def _describe(names: Collection[str]) -> Mapping[str, TopicMetadata]:
    del names
    return {}


def restored(
    logs: Logs, *, accept_loss: bool = False, facts: Iterable[Fact] = (), max_tallies: int = MAX_TALLIES
) -> dict[int, OwnedPartition]:
    """Restore both partitions, and checkpoint these facts, all of the damaged partition; returns them by number."""
    client: Any = LogsClient(logs)
    group: Any = SimpleNamespace(
        assigned=client.assigned,
        committed=client.committed,
        starts=client.starts,
        ends=client.starts,
        commit=client.commit,
        release=lambda _: None,
        end=lambda _: 0,
        watermarks=lambda _: None,
        seek=client.seek_all,
    )
    owned = OwnedPartitions()
    health = Health(partitions=owned.quarantined)
    checkpoint = Checkpoint(Policy.EACH, group, _METRICS, lambda _: None, health)
    restore = Restore(
        name="fuzz",
        topics=TOPICS,
        partitions=PARTITIONS,
        policy=Policy.EACH,
        accept_loss=accept_loss,
        capabilities=KAFKA,
        describe=_describe,
        group=group,
        producer=client,
        reader=client,
        checkpoint=checkpoint,
        metrics=_METRICS,
        on_step=lambda _: None,
        owned=owned,
        max_tallies=max_tallies,
    )

    async def run() -> None:
        await restore(lambda: False)
        owned.begin_generation(1)
        first = owned.get(DAMAGED)
        assert first is not None
        if first.ready:
            for fact in facts:
                first.shard.apply(fact)
            await checkpoint([first])

    # Each restore would collect the garbage of this whole process.
    whole_heap = patch("streams.engine.restore.pause_collection", contextlib.nullcontext)
    with patch.object(log_module, "fetch", fetched), whole_heap:
        asyncio.run(run())
    return {each.partition: each for each in owned}


def new_logs() -> Logs:
    """Empty logs."""
    return {(topic, partition): LogPartition() for topic in (TOPICS.facts, TOPICS.tallies) for partition in range(2)}


# ---- the grammar

_NUMBERS: Final = (-1, 0, 1, 7, 2**31, 2**53 - 1, 2**53, 2**63, 10**30, 1.5, -0.0)
_STRAYS: Final[tuple[Any, ...]] = (None, "", "x", "\u0000", [], {}, True, "not a day", "2026-02-30", ["a"], {"a": 1})
_DEEP: Final = b"[" * 3_000 + b"]" * 3_000
_BYTES: Final = (b"", b"x", b"{}", b"[]", b"null", b"\xff\x00garbage", b'"', _DEEP, b'{"x":' + _DEEP + b"}", b"0" * 500)
_KEYS: Final = (
    b"garbage", b"{}", b"[]", b"[1]", b'["a"]', b'["a","q","i","overall"]', b'["zzz","q"]', b'["e","i1","m","",""]',
    b'["a","q","lost","overall","p"]', b'["e","lost","m",""]', b'["q","q","lost"]', b'["cells","q","2026-05-28"]',
    b'["annotations","q","overall","not a day"]', b'["evaluations","q","m","2026-02-30"]', b'["zzz","q","2026-05-28"]',
    b'["cells","q","overall","m","2026-05-28",3]', CLAIM_KEY, MARKER_KEY, b"\xff", _DEEP,
)  # fmt: skip


def spoiled(draw: st.DrawFn, row: Row, rows: list[Row]) -> Row:
    """A record of a worker, with one fault."""
    row_key, value = row
    match draw(st.integers(0, 6)):
        case 0:
            return row_key, None
        case 1:
            return row_key, draw(st.sampled_from(_BYTES) | st.binary(max_size=8))
        case 2:
            return draw(st.sampled_from(_KEYS) | st.binary(max_size=8)), value
        case 3:
            return row_key, draw(st.sampled_from(rows))[1]
        case 4:
            at = draw(st.integers(0, len(value or b"")))
            return row_key, (value or b"")[:at] + draw(st.binary(max_size=2)) + (value or b"")[at + 1 :]
        case _:
            return row_key, _spoiled_field(draw, value or b"{}")


def _spoiled_field(draw: st.DrawFn, value: bytes) -> bytes:
    """A value with one field that is missing, added, or of another type or size, at any depth."""
    try:
        document = orjson.loads(value)
    except ValueError:
        return value
    place: Any = document
    while isinstance(place, dict | list) and place:
        at = draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else draw(st.integers(0, len(place) - 1))
        if isinstance(place[at], dict | list) and place[at] and draw(st.booleans()):
            place = place[at]
            continue
        if draw(st.booleans()):
            del place[at]
        else:
            place[at] = draw(st.sampled_from(_NUMBERS) | st.sampled_from(_STRAYS))
        break
    return msgspec.json.encode(document)


@st.composite
def facts(draw: st.DrawFn) -> list[Fact]:
    """A short history."""
    at, id = st.integers(_T0, _T0 + 3 * 86_400_000), st.sampled_from(["1", "2"])
    item = st.sampled_from(["i1", "i2", "i3"])
    one = st.one_of(
        st.builds(Annotation, at, id, st.sampled_from(["q", "ü"]), item, thumbs=st.sampled_from(["up", "down"])),
        st.builds(Evaluation, at, id, item, st.just("m"), judge=st.sampled_from(["", "v2"]), passed=st.booleans()),
        st.builds(Evaluation, at, id, item, st.just("m"), status=st.just("error")),
        st.builds(QueueItem, at, id, st.just("q"), item, deleted=st.booleans()),
    )
    return draw(st.lists(one, min_size=1, max_size=12))


@st.composite
def damaged_logs(draw: st.DrawFn) -> Logs:
    """The logs of a worker that was killed, and what others wrote there since; perhaps compacted meanwhile, or cut."""
    logs = new_logs()
    for _ in range(draw(st.integers(1, 2))):
        restored(logs, facts=draw(facts()))
    for topic in (TOPICS.facts, TOPICS.tallies):
        part = logs[topic, DAMAGED]
        if draw(st.booleans()):
            part.compact()
        rows: list[Row] = [(record.key, record.value) for record in part.records]
        for _ in range(draw(st.integers(0, 3))):
            row = spoiled(draw, draw(st.sampled_from(rows)), rows)
            if draw(st.integers(0, 3)) or not part.records:
                part.append([row])
            else:
                # A damaged record in place of the worker's own.
                place = draw(st.integers(0, len(part.records) - 1))
                part.records[place] = _Record(part.records[place].offset, *row)
        if draw(st.booleans()):
            part.compact()
        if draw(st.integers(0, 4)) == 0:
            # Its topic deletes by age.
            part.delete(before=draw(st.integers(0, part.end)))
    return logs


# ---- the property


def readable(logs: Logs) -> list[Fact]:
    """Every row of the damaged ledger that can be read."""
    rows = []
    for record in logs[TOPICS.facts, DAMAGED].records:
        if record.key is not None and record.value is not None and record.key != CLAIM_KEY:
            try:
                fact = parse(record.key, record.value)
            except ValueError:
                continue
            assert key(fact) == record.key and parse(record.key, encode(fact)) == fact
            rows.append(fact)
    return rows


def shown(logs: Logs, ledger: str) -> dict[Any, Any]:
    """The tallies as a new reader of the log sees them: of this ledger id, the last of each key that is valid."""
    kept = {}
    highest = 0
    for record in logs[TOPICS.tallies, DAMAGED].records:
        try:
            stamp = parse_stamp(record.value or b"")
            if record.key == MARKER_KEY:
                # An invalid one makes nothing after it late.
                parse_marker(record.value or b"")
            if stamp.ledger != ledger or stamp.position < highest:
                continue
            highest = stamp.position
            if record.key is not None and record.key != MARKER_KEY:
                tally_key = parse_key(record.key)
                kept[tally_key] = parse_payload(tally_key.group, record.value or b"")
        except ValueError:
            continue
    return {group: payload for group, payload in join(kept.items()).items() if payload != empty(group)}


def _is_of_newer_release(record: _Record) -> bool:
    """Whether a record is a claim of a later schema, which damage can make of one."""
    try:
        return record.key == CLAIM_KEY and parse_claim(record.value or b"").schema > SCHEMA
    except ValueError:
        return False


def check(logs: Logs) -> None:
    """Restore damaged logs, with and without `--accept-loss`. Raises AssertionError, or what a restore raises."""
    try:
        _check(logs)
    except FatalError as error:
        # An older release must not go on where a newer one was.
        newer = any(map(_is_of_newer_release, logs[TOPICS.facts, DAMAGED].records))
        if error.exit_code is not ExitCode.NEWER_SCHEMA or not newer:
            raise


def _check(logs: Logs) -> None:
    before = logs[TOPICS.tallies, DAMAGED].end
    rows = readable(logs)
    owned = restored(logs)
    assert owned[1].quarantined is None, "the other partition is sound"
    if owned[DAMAGED].quarantined is not None:
        assert logs[TOPICS.tallies, DAMAGED].end == before, "a partition in quarantine publishes nothing"
        assert not owned[DAMAGED].ready
        owned = restored(logs, accept_loss=True)
        assert owned[DAMAGED].quarantined is None, owned[DAMAGED].quarantined
    counted(logs, owned[DAMAGED], rows)
    # The way on lasts: the next restore needs no option, and compaction leaves the same.
    for _ in range(2):
        owned = restored(logs)
        assert owned[DAMAGED].quarantined is None, owned[DAMAGED].quarantined
        counted(logs, owned[DAMAGED], rows)
        for topic in (TOPICS.facts, TOPICS.tallies):
            logs[topic, DAMAGED].compact()


def counted(logs: Logs, owned: OwnedPartition, rows: Iterable[Fact]) -> None:
    """The counts, in memory and as published, are those of these rows."""
    recount = Recount(rows).tallies()
    claim = owned.claim
    assert claim is not None
    in_memory = join((parse_key(tally_key), payload) for tally_key, payload in owned.shard.tallies())
    assert in_memory == recount
    assert shown(logs, claim.ledger) == recount


def run(seconds: float) -> int:
    """Fuzz for a while; returns the number of damaged logs. Raises at a finding."""
    until, tried = time.monotonic() + seconds, 0

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(damaged_logs())
    def fuzz(logs: Logs) -> None:
        nonlocal tried
        if time.monotonic() > until:
            return
        tried += 1
        check(logs)

    # Every second restore reports a damaged record.
    logging.disable(logging.CRITICAL)
    try:
        while time.monotonic() < until:
            fuzz()
    finally:
        logging.disable(logging.NOTSET)
    return tried
