"""Every contender counts exactly, the tables show the measurements, and the load is deterministic."""

import asyncio
import uuid
from pathlib import Path

import pytest

from bench.comparison.contenders import CONTENDERS, Contender, Place
from bench.comparison.material import Load, items_for, pieces, preload, recount
from bench.comparison.report import BEGIN, END, table, write
from bench.comparison.running import Run, Sample, WrongError, measured, run
from tests.support.kafka import Kafka
from tests.support.requirements import Requirements

_ITEMS = 20


@pytest.fixture(scope="module")
def load(kafka: Kafka) -> Load:
    return asyncio.run(preload(kafka.bootstrap, f"{uuid.uuid4().hex}-", _ITEMS))


# The durable contenders join their groups slowly; the bench itself fails when a run is not exact.
@pytest.mark.parametrize(
    "contender",
    [each for each in CONTENDERS if each.name in ("aiokafka", "confluent", "bytewax", "quix")],
    ids=lambda each: each.name,
)
async def test_a_contender_computes_the_counts_of_the_load(
    contender: Contender, kafka: Kafka, load: Load, *, prefix: str, tmp_path: Path, requirements: Requirements
) -> None:
    requirements.provide("peers", contender.missing())
    done = await run(contender, Place(kafka.bootstrap, load, f"{prefix}group", tmp_path, "256m"), kafka)
    assert done.events == load.events
    assert done.memory_mib > 0


async def test_a_contender_with_wrong_counts_gets_no_row(kafka: Kafka, load: Load, prefix: str, tmp_path: Path) -> None:
    group = next(iter(load.cells))
    other = Load(load.annotations, load.evaluations, load.events, {**load.cells, group: [9, 9, 9, 9]})
    (loop,) = (each for each in CONTENDERS if each.name == "aiokafka")
    with pytest.raises(WrongError, match="1 groups"):
        await run(loop, Place(kafka.bootstrap, other, f"{prefix}group", tmp_path, "256m"), kafka)


def test_a_smaller_load_is_exact_by_itself_and_the_same_every_time() -> None:
    first, again = list(pieces(_ITEMS)), list(pieces(_ITEMS))
    assert first == again
    (events,) = first
    # 24 annotations times 9 evaluations per item; corrections do not change the number.
    assert sum(map(sum, recount(events).values())) == _ITEMS * 24 * 9
    assert items_for(1) < items_for(100_000) < items_for(1_000_000)


def test_rate_and_cpu_are_measured_between_commits_after_the_warm_up() -> None:
    samples = [
        Sample(at=0.0, committed=0, cpu=0.0, broker_cpu=0.0, memory=1.0),
        Sample(at=5.0, committed=300, cpu=9.0, broker_cpu=1.0, memory=2.0),
        Sample(at=6.0, committed=300, cpu=9.5, broker_cpu=1.5, memory=3.0),
        Sample(at=7.0, committed=800, cpu=10.0, broker_cpu=2.0, memory=5.0),
        Sample(at=20.0, committed=1000, cpu=30.0, broker_cpu=9.0, memory=4.0),
    ]
    assert measured(samples, 1000) == Run(1000, 2.0, 250.0, 2000.0, 2000.0, 5.0)


def test_a_missed_target_is_reported(tmp_path: Path) -> None:
    ours = [Run(1000, 30.0, rate, 3.0, 1.0, 100.0) for rate in (900.0, 1000.0, 1100.0)]
    theirs = [Run(1000, 30.0, 1000.0, 3.0, 1.0, 100.0)] * 3
    content = table({"worker": ours, "own_loop": theirs, "confluent": theirs}, {"bytewax": "not installed: bytewax"})
    assert "| one worker / the same steps without Faust: rate | 1.00 (0.90 to 1.10) | >= 0.95 | met |" in content
    assert "rate | 1.00 (0.90 to 1.10) | >= 1.8 | **not met** |" in content
    assert "| one worker: CPU per event | 3.00 us (3.00 us to 3.00 us) | < 4 us | met |" in content
    assert "| Bytewax | not run: not installed: bytewax | | | | | |" in content
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, content)
    assert page.read_text() == f"before\n{BEGIN}\n\n{content}\n\n{END}\nafter\n"


def test_the_kafka_streams_job_has_no_row() -> None:
    runs = [Run(1000, 30.0, 1000.0, 3.0, 1.0, 100.0)]
    content = table({each.name: runs for each in CONTENDERS}, {})
    left_out = [each.name for each in CONTENDERS if f"| {each.title} |" not in content]
    assert left_out == ["streams_alos", "streams_eos"]
