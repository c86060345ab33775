"""Rows 8, 9 and 11: events that arrive several times, in any order, late, corrected, or at the limits."""

import json
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from streams.events.reasons import Reason
from tests.faults.judging import clean, judged
from tests.integration.streams.rig import Rig, WorkerProcess, history

T0 = 1_780_000_000_000
DAY = 86_400_000
YEAR_9999 = 253_402_300_799_000

Measure = Callable[..., None]


async def stopped(worker: WorkerProcess) -> dict[str, int]:
    """Stop a worker; returns its counters."""
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.text()
    return {name.removeprefix("eval_alignment_"): count for name, count in worker.counters().items()}


@pytest.mark.row(8)
async def test_row_08_copies_in_any_order_are_counted_once_and_accounted_for(rig: Rig, measured: Measure) -> None:
    rng = random.Random(8)
    rows: list[Fact] = []
    for number in range(1_500):
        item = f"item-{number % 300}"
        rows.append(Annotation(T0 + number, f"a{number}", "q", item, annotator=f"p{number}", stars=1 + number % 5))
        rows.append(Evaluation(T0 + number, f"e{number}", item, f"m{number}", passed=number % 3 > 0))
    copies = [rig.event(row) for row in rows for _ in range(rng.randint(1, 5))]
    names = [row for row in rows[:200] if isinstance(row, Annotation)]
    late = [rig.event(Annotation(T0 - 1, "late", "q", row.item, annotator=row.annotator, stars=1)) for row in names]
    bad = [(rig.topics.annotations, row.item.encode(), b"{") for row in rows[:50]]
    mixed = copies + bad
    rng.shuffle(mixed)
    worker = rig.worker(circuit_breaker=False)
    await rig.send(mixed)
    await rig.settled()
    await rig.send(late)
    verdict = await judged(rig, rejected=len(bad))
    counted = await stopped(worker)
    assert counted["events"] == verdict.events == len(mixed) + len(late)
    # Each row has one version, so each applied event is one row of the ledger.
    assert counted["facts_written"] == verdict.rows == len(rows)
    # Copies of an evaluation that waited for its item are merged with it, when its annotation comes.
    waited_twice = counted["waiting_stored"] - counted["waiting_adopted"]
    assert counted["events_duplicate"] + waited_twice == len(copies) - len(rows)
    assert counted["events_superseded"] == len(late)
    assert counted["events_rejected"] == len(bad)
    clean([worker])
    measured(
        f"{verdict.events} events = {len(rows)} applied + {len(late)} stale + {len(copies) - len(rows)} duplicate + "
        f"{len(bad)} rejected"
    )


@pytest.mark.row(9)
async def test_row_09_corrections_and_deletions_days_late_never_count_twice(rig: Rig, measured: Measure) -> None:
    # Each row changes dozens of times, over three days in random order.
    facts = history(seed=9, events=15_000, items=60)
    worker = rig.worker()
    for part in range(5):
        await rig.produce(facts[part::5])
    verdict = await judged(rig)
    counted = await stopped(worker)
    assert counted["comparisons_retracted"] > 1_000, "cells were left"
    clean([worker])
    measured(
        f"{counted['comparisons_added']} comparisons entered, {counted['comparisons_retracted']} left; "
        f"{verdict.states} published states counted"
    )


@pytest.mark.row(11)
async def test_row_11_events_at_the_limits_are_ordered_or_rejected(rig: Rig, measured: Measure) -> None:
    def annotation(id: str, at: Any, **fields: Any) -> tuple[str, bytes, bytes]:
        event = {"id": id, "at": at, "queue": "q", "item": "item", "thumbs": "up", **fields}
        return rig.topics.annotations, event["item"].encode(), json.dumps(event).encode()

    accepted = [
        annotation("1973", 100_000_000_000, annotator="first"),
        annotation("text", "1970-01-01T00:00:00.001Z", annotator="second"),
        annotation("leap", "2024-02-29T23:59:59.999Z", annotator="third", stars=2, thumbs=None),
        annotation("long", T0, queue="n" * 128, criterion="c" * 128),
        annotation("words", T0, explanation="x" * 100_000, annotator="wordy"),
        # The clock of its producer was stepped back: its later event is older.
        annotation("before", T0 + 5_000, annotator="stepped", thumbs="down"),
        annotation("after", T0 + 1_000, annotator="stepped", thumbs="up"),
        # Same time: the id decides, in any order of arrival.
        annotation("b", T0, annotator="twin", thumbs="down"),
        annotation("a", T0, annotator="twin", thumbs="up"),
        (
            rig.topics.evaluations,
            b"item",
            b'{"id":"e","at":100000000000,"item":"item","metric":"m","score":1,"threshold":1}',
        ),
    ]
    refused = [
        (Reason.FUTURE_TIMESTAMP, annotation("9999", YEAR_9999)),
        (Reason.INVALID_NAME, annotation("longer", T0, queue="n" * 129)),
        (Reason.OVERSIZED, annotation("huge", T0, explanation="x" * 300_000)),
        (Reason.INVALID_FIELD, annotation("past", -1)),
        (Reason.INVALID_FIELD, annotation("seconds", 99_999_999_999)),
        (Reason.INVALID_FIELD, annotation("inf", T0, weight=float("inf"))),
    ]
    await rig.send([*accepted, *(event for _, event in refused)])
    worker = rig.worker()
    await judged(rig, rejected=len(refused))
    reasons = {
        (Reason(dict(dead_letter.headers)["alignment-reason"].decode()), dead_letter.value)
        for dead_letter in await rig.dead_letters()
    }
    assert reasons == {(reason, event[2]) for reason, event in refused}
    counted = await stopped(worker)
    assert counted["events_superseded"] == 2
    clean([worker])
    measured(f"{len(accepted)} accepted, 2 of them superseded; {len(refused)} rejected with their reasons")
