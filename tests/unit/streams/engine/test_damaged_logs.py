"""A restore of ledgers and tallies that hold records of other writers: repaired, or one partition in quarantine."""

from functools import partial

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from aggregator.facts import Annotation, Evaluation, Fact, key
from aggregator.ledger_ids import common_id
from aggregator.policy import Policy
from aggregator.shard import Shard
from aggregator.tallies import MARKER_KEY
from streams.engine import salvage
from streams.engine.partition import OwnedPartition
from streams.engine.salvage import Salvage
from streams.ledger.claim import CLAIM_KEY, Claim, parse_claim
from streams.ledger.replay import MAX_DAMAGED
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError
from tests.fuzz.logs import DAMAGED, TOPICS, Logs, Row, check, counted, damaged_logs, new_logs, readable, restored
from tests.unit.streams.engine.test_engine import UNUSED

T0 = 1_780_000_000_000
FACTS: list[Fact] = [
    Annotation(T0, "a1", "q", "i1", thumbs="up"),
    Evaluation(T0, "e1", "i1", "m", passed=True),
    Evaluation(T0 + 1, "e2", "i2", "m", passed=False),
]
ANNOTATION, LOST = key(FACTS[0]), key(Annotation(T0, "x", "q", "lost", thumbs="up"))
CELLS = b'["cells","q","overall","m","2026-05-28"]'


@pytest.fixture
def logs() -> Logs:
    """The logs of a worker that has counted three facts, in partition 0."""
    logs = new_logs()
    restored(logs, facts=FACTS)
    return logs


def stamped(logs: Logs, **payload: object) -> bytes:
    """The value of a tally at the current position of the ledger."""
    claim = parse_claim(next(row.value or b"" for row in logs[TOPICS.facts, DAMAGED].records if row.key == CLAIM_KEY))
    position = logs[TOPICS.facts, DAMAGED].end
    return orjson.dumps({"ledger": claim.ledger, "position": position, "policy": "each", **payload})


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged_logs())
def test_whatever_is_readable_is_counted_or_the_partition_is_in_quarantine(logs: Logs) -> None:
    check(logs)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param((ANNOTATION, None), id="null value"),
        pytest.param((LOST, None), id="null value of no row"),
        pytest.param((ANNOTATION, b"\xff\x00garbage"), id="invalid value"),
        pytest.param((ANNOTATION, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), id="deep nesting"),
        pytest.param((ANNOTATION, b'{"at":1,"id":"a","queue":"q","item":"i3"}'), id="value of another key"),
        pytest.param((b"garbage", b"{}"), id="key of no row"),
        pytest.param((ANNOTATION.replace(b",", b", "), b"{}"), id="key of a row in other bytes"),
        pytest.param((b'["a","q"]', b"{}"), id="wrong arity"),
        pytest.param((None, b"{}"), id="no key"),
        pytest.param((CLAIM_KEY, b"{}"), id="invalid claim"),
        pytest.param((CLAIM_KEY, None), id="null claim"),
    ],
)
def test_a_ledger_record_that_loses_no_row_is_passed_over(logs: Logs, row: Row) -> None:
    logs[TOPICS.facts, DAMAGED].append([row])
    owned = restored(logs)[DAMAGED]
    assert owned.quarantined is None
    counted(logs, owned, FACTS)
    # Compaction keeps the row, not the record that hid it.
    logs[TOPICS.facts, DAMAGED].compact()
    counted(logs, restored(logs)[DAMAGED], FACTS)


@pytest.mark.parametrize(
    ("tally_key", "payload"),
    [
        pytest.param(CELLS, {"judges": {"": {"current": [1], "superseded": [0] * 14}}}, id="short vector"),
        pytest.param(CELLS, {"judges": {"": {"current": [-5] * 14, "superseded": [0] * 14}}}, id="negative"),
        pytest.param(CELLS, {"judges": {"": {"current": [2**60] * 14, "superseded": [0] * 14}}}, id="huge"),
        pytest.param(CELLS, {"judges": {"": {"current": [9] * 14, "superseded": [0] * 14}}}, id="inflated"),
        pytest.param(CELLS, {}, id="no judges"),
        pytest.param(b'["cells","q","2026-05-28"]', {"judges": {}}, id="wrong arity"),
        pytest.param(b'["cells","q","overall","m","not a day"]', {"judges": {}}, id="no day"),
        pytest.param(b'["zzz","q","2026-05-28"]', {}, id="unknown kind"),
        pytest.param(CELLS.replace(b",", b", "), {"judges": {}}, id="key of a tally in other bytes"),
        pytest.param(MARKER_KEY, {"at": "x", "sources": None}, id="invalid marker"),
        pytest.param(MARKER_KEY, {"position": 2**53}, id="marker of a position that no log reaches"),
        pytest.param(CELLS, {"position": -1}, id="negative position"),
    ],
)
def test_an_invalid_tally_is_published_again(logs: Logs, tally_key: bytes, payload: dict[str, object]) -> None:
    logs[TOPICS.tallies, DAMAGED].append([(tally_key, stamped(logs, **payload))])
    owned = restored(logs)[DAMAGED]
    assert owned.quarantined is None
    counted(logs, owned, FACTS)
    logs[TOPICS.tallies, DAMAGED].compact()
    counted(logs, restored(logs)[DAMAGED], FACTS)


@pytest.mark.parametrize("value", [None, b"\xff", b"", b"[" * 100_000])
def test_a_null_value_and_garbage_on_the_tallies_are_published_again(logs: Logs, value: bytes | None) -> None:
    logs[TOPICS.tallies, DAMAGED].append([(CELLS, value), (b"garbage", value), (MARKER_KEY, value)])
    logs[TOPICS.tallies, DAMAGED].compact()
    counted(logs, restored(logs)[DAMAGED], FACTS)


def test_a_lost_row_quarantines_its_partition_until_the_loss_is_accepted(logs: Logs) -> None:
    logs[TOPICS.facts, DAMAGED].append([(LOST, b"garbage")])
    tallies = logs[TOPICS.tallies, DAMAGED].end
    both = restored(logs)
    quarantined = both[DAMAGED].quarantined
    assert quarantined is not None
    for part in ("facts.v1[0]", "1 record", "offset 4", "lost", "--accept-loss"):
        assert part in quarantined, quarantined
    assert (both[DAMAGED].ready, both[1].ready) == (False, True)
    assert logs[TOPICS.tallies, DAMAGED].end == tallies
    owned = restored(logs, accept_loss=True)[DAMAGED]
    assert owned.quarantined is None
    assert logs[TOPICS.facts, DAMAGED].records[-1].key == LOST
    counted(logs, restored(logs)[DAMAGED], FACTS)


def test_a_row_that_comes_back_ends_the_quarantine(logs: Logs) -> None:
    facts = logs[TOPICS.facts, DAMAGED]
    facts.append([(LOST, b"garbage")])
    assert restored(logs)[DAMAGED].quarantined is not None
    facts.append([(LOST, b'{"at":1,"id":"x","queue":"q","item":"lost","thumbs":"up"}')])
    counted(logs, restored(logs)[DAMAGED], readable(logs))


def test_what_can_be_accepted_is_bounded(logs: Logs) -> None:
    lost = [key(Annotation(T0, "x", "q", f"lost-{number}", thumbs="up")) for number in range(MAX_DAMAGED + 1)]
    logs[TOPICS.facts, DAMAGED].append([(row, b"garbage") for row in lost])
    quarantined = restored(logs, accept_loss=True)[DAMAGED].quarantined
    assert quarantined is not None
    assert f"{MAX_DAMAGED + 1} records" in quarantined
    assert "--skip-unreadable" in quarantined


def test_a_position_far_ahead_is_accepted_under_a_new_ledger_id(logs: Logs) -> None:
    ahead = 2**53 - 1
    logs[TOPICS.tallies, DAMAGED].append([(CELLS, stamped(logs, judges={}, position=ahead))])
    first = restored(logs)[DAMAGED]
    assert str(ahead) in (first.quarantined or "")
    end = logs[TOPICS.facts, DAMAGED].end
    owned = restored(logs, accept_loss=True)[DAMAGED]
    assert owned.quarantined is None
    assert logs[TOPICS.facts, DAMAGED].end <= end + 2, "the ledger is not filled up to the position"
    claims = [parse_claim(row.value or b"") for row in logs[TOPICS.facts, DAMAGED].records if row.key == CLAIM_KEY]
    assert claims[-1].ledger != claims[0].ledger
    assert common_id(claims[-1].ledger) == claims[0].ledger
    counted(logs, owned, FACTS)
    counted(logs, restored(logs)[DAMAGED], FACTS)


def test_a_position_a_little_ahead_is_accepted_by_filling_the_ledger(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salvage, "MAX_FILL", 100)
    ledger = logs[TOPICS.facts, DAMAGED]
    logs[TOPICS.tallies, DAMAGED].append([(CELLS, stamped(logs, judges={}, position=ledger.end + 50))])
    assert restored(logs)[DAMAGED].quarantined is not None
    before = ledger.end
    counted(logs, restored(logs, accept_loss=True)[DAMAGED], FACTS)
    assert before + 40 < ledger.end < before + 60
    counted(logs, restored(logs)[DAMAGED], FACTS)


def claim_of(logs: Logs, **changed: object) -> bytes:
    value = next(row.value or b"" for row in logs[TOPICS.facts, DAMAGED].records if row.key == CLAIM_KEY)
    return orjson.dumps({**orjson.loads(value), **changed})


def test_a_claim_that_differs_from_the_other_partitions_quarantines_its_own(logs: Logs) -> None:
    logs[TOPICS.facts, DAMAGED].append([(CLAIM_KEY, claim_of(logs, partitions=64))])
    quarantined = restored(logs)[DAMAGED].quarantined
    assert "P = 64" in (quarantined or "")
    counted(logs, restored(logs, accept_loss=True)[DAMAGED], FACTS)
    counted(logs, restored(logs)[DAMAGED], FACTS)


def test_another_number_of_partitions_in_every_claim_ends_the_worker(logs: Logs) -> None:
    for partition in (0, 1):
        logs[TOPICS.facts, partition].append([(CLAIM_KEY, claim_of(logs, partitions=64))])
    with pytest.raises(FatalError) as failure:
        restored(logs)
    assert failure.value.exit_code is ExitCode.PARTITIONS_CHANGED


def test_the_claim_of_a_newer_release_ends_the_worker(logs: Logs) -> None:
    logs[TOPICS.facts, DAMAGED].append([(CLAIM_KEY, claim_of(logs, schema=99))])
    with pytest.raises(FatalError) as failure:
        restored(logs)
    assert failure.value.exit_code is ExitCode.NEWER_SCHEMA


def test_a_ledger_that_lost_its_beginning_is_in_quarantine_until_the_loss_is_accepted(logs: Logs) -> None:
    """A policy that deletes by age did it. The rows that are left would count less, without a sign."""
    restored(logs)
    ledger, tallies = logs[TOPICS.facts, DAMAGED], logs[TOPICS.tallies, DAMAGED].end
    ledger.delete(before=2)
    assert len(readable(logs)) == len(FACTS) - 1
    both = restored(logs)
    for part in ("facts.v1[0] begins at offset 2", "began at 0", "cleanup.policy=compact", "--accept-loss"):
        assert part in (both[DAMAGED].quarantined or "")
    assert both[1].quarantined is None
    assert logs[TOPICS.tallies, DAMAGED].end == tallies, "nothing is published"
    counted(logs, restored(logs, accept_loss=True)[DAMAGED], readable(logs))
    # Once is enough, until more is lost.
    counted(logs, restored(logs)[DAMAGED], readable(logs))
    ledger.delete(before=3)
    assert "begins at offset 3, it began at 2" in (restored(logs)[DAMAGED].quarantined or "")


def test_where_a_ledger_began_is_not_known_of_an_earlier_release(logs: Logs, caplog: pytest.LogCaptureFixture) -> None:
    """It may have been rebuilt after a loss that was accepted then."""
    restored(logs)
    ledger = logs[TOPICS.facts, DAMAGED]
    ledger.delete(before=2)
    (claim,) = (parse_claim(row.value or b"") for row in ledger.records[-1:])
    ledger.append([(CLAIM_KEY, msgspec.structs.replace(claim, start=None).encode())])
    assert b"start" not in (ledger.records[-1].value or b"")
    counted(logs, restored(logs)[DAMAGED], readable(logs))
    assert "facts.v1[0] begins at offset 2, and the earlier release" in caplog.text
    ledger.delete(before=3)
    assert "begins at offset 3, it began at 2" in (restored(logs)[DAMAGED].quarantined or "")


def test_a_marker_with_a_position_beyond_the_end_of_a_source_ends_no_worker(logs: Logs) -> None:
    """Of one partition: no worker wrote it, and the others go on."""
    sources = {topic: {"position": 5, "end": 5} for topic in TOPICS.sources}
    marker = stamped(logs, at=0, sources=sources, offset=logs[TOPICS.tallies, DAMAGED].end)
    logs[TOPICS.tallies, DAMAGED].append([(MARKER_KEY, marker)])
    both = restored(logs)
    assert "the tallies carry position 5, left are 0 to 0" in (both[DAMAGED].quarantined or "")
    assert both[1].ready
    counted(logs, restored(logs, accept_loss=True)[DAMAGED], FACTS)
    counted(logs, restored(logs)[DAMAGED], FACTS)


def test_compaction_is_no_loss(logs: Logs) -> None:
    ledger = logs[TOPICS.facts, DAMAGED]
    ledger.append([(row.key, row.value) for row in ledger.records])
    ledger.compact()
    assert ledger.records[0].offset > 0
    counted(logs, restored(logs)[DAMAGED], FACTS)


@pytest.mark.parametrize(("others", "is_foreign"), [(2, True), (1, False)])
def test_a_claim_with_pseudonyms_is_no_workers_where_most_partitions_have_none(others: int, is_foreign: bool) -> None:
    """One record must not end each worker that gets it. But a worker with a wrong key must not write names."""
    claim = Claim("5f0c", 8, Policy.EACH, 2, "w", T0)
    partitions = [OwnedPartition(number, Shard(number), UNUSED, UNUSED) for number in range(1 + others)]
    for owned in partitions:
        owned.claimed(claim)
    foreign = partitions[0]
    foreign.claimed(msgspec.structs.replace(claim, pseudonyms="1a" * 16, schema=4))
    decide = partial(Salvage, "facts", "tallies", 8)
    if not is_foreign:
        with pytest.raises(FatalError, match="has pseudonyms of annotators"):
            decide(accept_loss=True).check_claims(partitions, partitions)
        return
    decide(accept_loss=True).check_claims(partitions, partitions)
    assert foreign.quarantined is None, "the claim of this worker replaces it"
    decide(accept_loss=False).check_claims(partitions, partitions)
    reasons = [owned.quarantined for owned in partitions]
    assert "has pseudonyms of annotators" in (reasons[0] or "")
    assert reasons[1:] == [None] * others
