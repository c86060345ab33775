"""Rows 29 and 30: records of other writers on the ledger and the tallies, on a real Apache Kafka."""

import signal
from collections.abc import Callable

import orjson
import pytest

from aggregator.facts import Annotation, Fact, encode, key
from aggregator.ledger_ids import common_id
from aggregator.tallies import MARKER_KEY
from streams.ledger.claim import CLAIM_KEY, parse_claim
from streams.runtime.exit_codes import ExitCode
from tests.integration.streams.rig import Rig, WorkerProcess, history

Measure = Callable[..., None]
LOST = key(Annotation(1, "x", "support", "lost", thumbs="up"))
DAMAGED = 1


async def ledger_id(rig: Rig, partition: int = DAMAGED) -> str:
    """The ledger id of the last claim of a partition."""
    claims = [row for row in await rig.read(rig.topics.facts) if (row.key, row.partition) == (CLAIM_KEY, partition)]
    return parse_claim(claims[-1].value or b"").ledger


async def stopped_after(rig: Rig, events: int, seed: int) -> list[Fact]:
    """A worker counted these events, and was killed."""
    facts = history(seed=seed, events=events, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    worker.kill()
    return facts


async def damage_tallies(rig: Rig, position: int | None = None) -> None:
    """Write tallies with wrong numbers, a null value and garbage; with a position, only one tally of that position."""
    last: dict[bytes, bytes] = {
        row.key: row.value
        for row in await rig.read(rig.topics.tallies)
        if row.partition == DAMAGED and row.key and row.value
    }
    cells = next(tally_key for tally_key in last if tally_key.startswith(b'["cells"'))
    marker = orjson.loads(last[MARKER_KEY])
    value = orjson.loads(last[cells])
    if position is not None:
        await send(rig, rig.topics.tallies, [(cells, orjson.dumps({**value, "position": position}))])
        return
    first = next(iter(value["judges"]), "")
    wrong = {"current": [-5] * 14, "superseded": [1]}
    damaged: list[tuple[bytes, bytes | None]] = [
        (cells, orjson.dumps({**value, "position": marker["position"], "judges": {first: wrong}})),
        (next(tally_key for tally_key in last if tally_key.startswith(b'["annotations"')), None),
        (b'["zzz","q","2026-05-28"]', orjson.dumps({**value, "position": marker["position"]})),
        (b"garbage", b"\xff"),
        (MARKER_KEY, b"{}"),
    ]
    await send(rig, rig.topics.tallies, damaged)


async def send(rig: Rig, topic: str, rows: list[tuple[bytes, bytes | None]]) -> None:
    """Write to the damaged partition, as another program would."""
    await rig.send([(topic, row_key, value) for row_key, value in rows], partition=DAMAGED)


async def says(rig: Rig, worker: WorkerProcess, text: str) -> None:
    """Wait for a line in the log of a worker that runs."""

    async def said() -> bool:
        assert worker.process.poll() is None, worker.text()[-3000:]
        return text in worker.text()

    await rig.until(text, said)


@pytest.mark.row(29)
async def test_row_29_what_the_rows_allow_is_repaired(rig: Rig, measured: Measure) -> None:
    facts = await stopped_after(rig, 1_000, seed=291)
    facts_log = [row for row in await rig.read(rig.topics.facts) if row.partition == DAMAGED]
    row_key: bytes = next(row.key for row in facts_log if row.key not in (None, CLAIM_KEY))
    deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    damaged: list[bytes | None] = [None, b"\xff", deep]
    rows = [*((row_key, value) for value in damaged), (LOST, None), (b"garbage", b"{}"), (CLAIM_KEY, b"{}")]
    await send(rig, rig.topics.facts, rows)
    await damage_tallies(rig)
    worker = rig.worker()
    await rig.restored(worker)
    assert "quarantine" not in worker.text()
    assert "6 records (offset" in worker.text()
    later = history(seed=292, events=300, items=50)
    await rig.produce(later)
    await rig.settled()
    assert await rig.matches([*facts, *later])
    measured("11 records passed over; restored with the rows of the ledger, difference 0")


@pytest.mark.row(29)
async def test_row_29_another_writer_ends_a_worker_once_and_is_repaired(rig: Rig) -> None:
    facts = history(seed=293, events=500, items=50)
    await rig.produce(facts)
    worker = rig.worker()
    await rig.settled()
    await send(rig, rig.topics.facts, [(b"garbage", b"{}")])
    assert await worker.ended() == ExitCode.ANOTHER_WRITER.code
    again = rig.worker()
    await rig.restored(again)
    await rig.produce(facts[:1])
    await rig.settled()
    assert await rig.matches(facts)


@pytest.mark.row(29)
async def test_row_29_a_lost_row_quarantines_one_partition(rig: Rig, measured: Measure) -> None:
    facts = await stopped_after(rig, 1_000, seed=294)
    await send(rig, rig.topics.facts, [(LOST, b"garbage")])
    tallies = (await rig.ends(rig.topics.tallies))[next(tp for tp in rig._tps(rig.topics.tallies) if tp[1] == DAMAGED)]
    worker = rig.worker()
    await rig.restored(worker)
    await says(
        rig, worker, f"partition {DAMAGED} is in quarantine: {rig.topics.facts}[{DAMAGED}]: no record has the row"
    )
    later = history(seed=295, events=500, items=50)
    await rig.produce(later)
    ends = await rig.ends(*rig.topics.sources)

    async def others_committed() -> bool:
        committed = await rig.committed()
        return all(committed[tp] == end for tp, end in ends.items() if tp.partition != DAMAGED)

    await rig.until("the other partitions go on", others_committed)
    ended = await rig.ends(rig.topics.tallies)
    assert next(end for tp, end in ended.items() if tp.partition == DAMAGED) == tallies, "nothing of it is published"
    worker.kill()
    accepted = rig.worker(accept_loss=True)
    await rig.settled()
    accepted.kill()
    # Accepted once: the next start needs no option.
    last = rig.worker()
    await rig.restored(last)
    assert "quarantine" not in last.text()
    assert await rig.matches([*facts, *later])
    measured("1 of 4 partitions in quarantine, 3 go on; after --accept-loss difference 0")


@pytest.mark.row(30)
async def test_row_30_a_position_far_ahead_is_outgrown_without_filling(rig: Rig, measured: Measure) -> None:
    facts = await stopped_after(rig, 1_000, seed=301)
    before = await ledger_id(rig)
    await damage_tallies(rig, position=2**53 - 1)
    worker = rig.worker()
    await rig.restored(worker)
    await says(rig, worker, f"partition {DAMAGED} is in quarantine")
    assert f"tallies were published for {2**53 - 1}" in worker.text()
    worker.kill()
    end = sum((await rig.ends(rig.topics.facts)).values())
    accepted = rig.worker(accept_loss=True)
    await rig.restored(accepted)
    later = history(seed=302, events=300, items=50)
    await rig.produce(later)
    await rig.settled()
    written = sum((await rig.ends(rig.topics.facts)).values()) - end
    assert written < 1_000, "the ledger is not filled with claims"
    after = await ledger_id(rig)
    assert after != before
    assert common_id(after) == before
    accepted.kill()
    last = rig.worker()
    await rig.restored(last)
    assert "quarantine" not in last.text()
    assert await rig.matches([*facts, *later])
    measured(f"{written} ledger records instead of 2^53; difference 0")


@pytest.mark.row(29)
async def test_row_29_a_valid_row_of_another_program_is_counted_and_told(rig: Rig, measured: Measure) -> None:
    facts = await stopped_after(rig, 500, seed=296)
    forged = Annotation(1_780_000_000_000, "forged", "support", "item-1", annotator="nobody", thumbs="up")
    partition = next(row.partition for row in await rig.read(rig.topics.annotations) if row.key == b"item-1")
    await rig.send([(rig.topics.facts, key(forged), encode(forged))], partition=partition)
    for _ in range(2):
        # The count is in the markers, so the next worker has it too.
        worker = rig.worker()
        await rig.restored(worker)
        assert await rig.matches([*facts, forged])
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0
    markers = [row for row in await rig.read(rig.topics.tallies) if (row.key, row.partition) == (MARKER_KEY, partition)]
    assert orjson.loads(markers[-1].value or b"")["foreign"] == 1
    told = [each.text().count("1 rows of another program are counted") for each in rig.workers]
    assert told == [0, 1, 0]
    measured("1 foreign row counted; in the log once, in metric and markers from then on")
