"""Compares the tallies of one partition with a recount of its ledger.

It reads with the view's own code, so it compares what users see. The recount shares no counting code with the workers.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from aggregator.facts import parse
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.tallies import TallyGroup, empty, join
from eval_alignment.doctor.findings import Finding, ok, problem_found, skipped
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.target import Target
from sinks.store.tail import Step, Tail
from streams.kafka.scan import Records, scan
from streams.ledger.claim import CLAIM_KEY, Claim, parse_claim

_MAX_LISTED: Final = 3
_ROTATE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Recounted:
    """The result of recounting one partition."""

    partition: int
    claim: Claim | None
    position: int | None
    """Ledger position of the compared state; None when no checkpoint marker was reached."""
    end: int
    """End offset of the ledger."""
    highest: int
    """Highest position in the tallies of this ledger."""
    rows: int
    tallies: int
    differences: Sequence[str]
    """A line per tally that differs from the recount."""
    unreadable: str = ""
    """Why a record is invalid; empty when all are valid."""


def choose(markers: Collection[int], now_s: float) -> int | None:
    """A partition that has tallies, a different one every minute; None when no partition has tallies."""
    ready = sorted(markers)
    return ready[int(now_s // _ROTATE_SECONDS) % len(ready)] if ready else None


async def recount(target: Target, partition: int) -> Recounted:
    """Read and count one partition."""
    tail = Tail(partition)
    claims: list[Claim] = []
    place = ""

    def tally(_: int, records: Records) -> None:
        nonlocal place
        for record in records:
            place = f"{target.topics.tallies}[{partition}] at {record.offset}"
            tail.tally(record.offset, record.key, record.value)

    def row(_: int, records: Records) -> None:
        nonlocal place
        for record in records:
            place = f"{target.topics.facts}[{partition}] at {record.offset}"
            tail.fact(record.offset, record.key, record.value)
            if record.key == CLAIM_KEY:
                claims.append(parse_claim(record.value or b""))

    end = 0
    try:
        # Workers write rows before tallies. The ledger is read after the tallies, so it must reach their position.
        await scan(target.client, target.topics.tallies, tally, partitions=[partition])
        end = (await scan(target.client, target.topics.facts, row, partitions=[partition]))[partition]
        tail.skip_to(end)
        step = tail.step()
        differences = [] if step is None else await asyncio.to_thread(_differences, step)
    except (ValueError, KeyError, TypeError) as error:
        why = f"{place}: {type(error).__name__}: {error}"
        return Recounted(partition, claims[-1] if claims else None, None, end, 0, 0, 0, [], why)
    if tail.problem is not None:
        why = f"{target.topics.facts}[{partition}], {target.topics.tallies}[{partition}]: {tail.problem}"
        return Recounted(partition, claims[-1] if claims else None, None, end, 0, 0, 0, [], why)
    return Recounted(
        partition=partition,
        claim=claims[-1] if claims else None,
        position=None if step is None else step.marker["position"],
        end=end,
        highest=tail.highest,
        rows=0 if step is None else len(step.facts),
        tallies=0 if step is None else len(step.tallies),
        differences=differences,
    )


def _differences(step: Step) -> list[str]:
    rows = (parse(fact.key, fact.value) for fact in step.facts)
    counted = Recount(rows, Policy(step.marker["policy"])).tallies()
    tallies = join((key, msgspec.json.decode(stamped.payload)) for key, stamped in step.tallies.items())
    published = {group: payload for group, payload in tallies.items() if payload != empty(group)}
    return compare(published, counted)


def compare(published: Mapping[TallyGroup, Any], counted: Mapping[TallyGroup, Any]) -> list[str]:
    """A line for every group whose published payload differs from the counted one."""
    return [
        f"{' / '.join(group)}: published {_short(published.get(group))}, counted {_short(counted.get(group))}"
        for group in sorted(published.keys() | counted.keys())
        if published.get(group) != counted.get(group)
    ]


def _short(payload: object) -> str:
    return "nothing" if payload is None else msgspec.json.encode(payload).decode()


def judge_recount(recounted: Recounted | None, partitions: int) -> list[Finding]:
    """Findings from a recount; None means that there are no tallies yet."""
    if recounted is None:
        return [skipped("recount", "there are no tallies yet")]
    where = f"partition {recounted.partition}"
    if recounted.unreadable:
        return [problem_found(Problem.LEDGER_UNREADABLE, recounted.unreadable)]
    findings = []
    claim = recounted.claim
    if claim is not None and claim.partitions != partitions:
        findings.append(
            problem_found(
                Problem.CLAIM_PARTITIONS,
                f"{where}: the claim has {claim.partitions} partitions, the topics have {partitions}",
            )
        )
    if recounted.highest > recounted.end:
        findings.append(
            problem_found(
                Problem.LEDGER_SHORT,
                f"{where}: the ledger ends at {recounted.end}, but its tallies are at position {recounted.highest}",
            )
        )
    if recounted.differences:
        count = len(recounted.differences)
        listed = "; ".join(recounted.differences[:_MAX_LISTED])
        findings.append(
            problem_found(
                Problem.TALLIES_DIFFER,
                f"{where} at {recounted.position}: {count} of {recounted.tallies} tallies differ: {listed}",
            )
        )
    if findings:
        return findings
    if recounted.position is None:
        return [skipped("recount", f"{where} has no checkpoint marker yet")]
    return [
        ok(
            "recount",
            f"{where}: {recounted.tallies} tallies equal the recount of {recounted.rows} ledger records below "
            f"position {recounted.position}",
        )
    ]
