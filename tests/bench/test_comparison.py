"""Every contender counts exactly, the tables show the measurements, and the loads are deterministic."""

import asyncio
import itertools
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bench.comparison.contenders import CONTENDERS, Contender, Place
from bench.comparison.material import DENSE, PRODUCTION, SHAPES, Load, Shape, preload, recount
from bench.comparison.processes import LogBytes
from bench.comparison.report import BEGIN, END, Compared, killed_table, table, write
from bench.comparison.running import Killed, Run, Sample, WrongError, measured, run, run_killed
from tests.support.kafka import Kafka
from tests.support.requirements import Requirements

_ITEMS = {"dense": 20, "production": 500}


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: shape.name)
def load(kafka: Kafka, request: pytest.FixtureRequest) -> Load:
    shape: Shape = request.param
    return asyncio.run(preload(kafka.bootstrap, f"{uuid.uuid4().hex}-", shape, _ITEMS[shape.name]))


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
    done = await run(contender, Place(kafka.bootstrap, load, f"{prefix}group", tmp_path), kafka)
    assert done.events == load.events
    assert done.memory_mib > 0


async def test_a_contender_with_wrong_counts_gets_no_row(kafka: Kafka, load: Load, prefix: str, tmp_path: Path) -> None:
    group = next(iter(load.cells))
    other = replace(load, cells={**load.cells, group: [9, 9, 9, 9]})
    (loop,) = (each for each in CONTENDERS if each.name == "aiokafka")
    with pytest.raises(WrongError, match="1 groups"):
        await run(loop, Place(kafka.bootstrap, other, f"{prefix}group", tmp_path), kafka)


async def test_a_contender_that_keeps_nothing_is_never_exact_after_a_kill(
    kafka: Kafka, load: Load, prefix: str, tmp_path: Path
) -> None:
    (loop,) = (each for each in CONTENDERS if each.name == "aiokafka")
    killed = await run_killed(loop, Place(kafka.bootstrap, load, f"{prefix}group", tmp_path), kafka)
    assert killed.problem is not None
    assert "the load is too small" in killed.problem or "are wrong" in killed.problem


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_load_is_the_same_every_time_and_as_large_as_its_shape_says(shape: Shape) -> None:
    items = 2_000
    first, again = (list(itertools.chain.from_iterable(shape.pieces(items))) for _ in range(2))
    assert first == again
    assert len(first) == pytest.approx(items * shape.events_per_item * (1 + 1 / shape.corrected), rel=0.02)
    assert shape.items(1) < shape.items(100_000) < shape.items(1_000_000)
    assert shape.items(100_000) * shape.events_per_item >= 100_000


def test_in_the_dense_load_every_item_has_all_its_comparisons() -> None:
    (events,) = DENSE.pieces(20)
    # 24 annotations times 9 evaluations per item; corrections do not change the number.
    assert sum(map(sum, recount(events).values())) == 20 * 24 * 9


def test_in_the_production_load_few_items_are_annotated_and_the_judge_changes_once() -> None:
    events = [orjson.loads(value) for piece in PRODUCTION.pieces(5_000) for _, _, value in piece]
    evaluations = [event for event in events if "metric" in event]
    annotations = [event for event in events if "annotator" in event]
    originals = [event for event in evaluations if len(event["id"]) == 18]
    assert set(Counter(event["item"] for event in originals).values()) == {3}
    assert len({event["item"] for event in annotations}) == pytest.approx(100, abs=40)
    assert {len(event["reason"]) for event in evaluations} <= set(range(50, 201))
    changes = itertools.pairwise(event["judge"] for event in sorted(originals, key=lambda e: int(e["item"][14:])))
    assert sum(before != after for before, after in changes) == 1


def test_rate_and_cpu_are_measured_between_commits_after_the_warm_up_and_bytes_over_all() -> None:
    samples = [
        Sample(at=0.0, committed=0, cpu=0.0, broker_cpu=0.0, memory=1.0, kafka_bytes=500, disk_bytes=0),
        Sample(at=5.0, committed=300, cpu=9.0, broker_cpu=1.0, memory=2.0, kafka_bytes=600, disk_bytes=0),
        Sample(at=6.0, committed=300, cpu=9.5, broker_cpu=1.5, memory=3.0, kafka_bytes=600, disk_bytes=0),
        Sample(at=7.0, committed=800, cpu=10.0, broker_cpu=2.0, memory=5.0, kafka_bytes=900, disk_bytes=4_000),
        Sample(at=20.0, committed=1000, cpu=30.0, broker_cpu=9.0, memory=4.0, kafka_bytes=8_500, disk_bytes=9_000),
    ]
    assert measured(samples, 1000) == Run(1000, 2.0, 250.0, 2000.0, 2000.0, 5.0, 8.0, 9.0)


def test_what_compaction_removes_and_a_deleted_topic_leave_the_bytes_of_topics_as_they_are(tmp_path: Path) -> None:
    def put(name: str, size: int) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))

    topics = LogBytes(tmp_path, look_seconds=0.0)
    put("facts-0/00.log", 100)
    assert topics.appended() == 100
    put("facts-0/00.log", 40)
    put("facts-0/07.log", 10)
    put("facts-0/07.index", 1_000)
    put("old-0.4f2c-delete/00.log", 700)
    assert topics.appended() == 110
    (tmp_path / "facts-0/00.log").unlink()
    assert topics.appended() == 110


def _run(rate: float = 1000.0) -> Run:
    return Run(1000, 30.0, rate, 3.0, 1.0, 100.0, 50.0, 20.0)


def test_a_missed_target_is_reported(tmp_path: Path) -> None:
    ours, theirs = [_run(rate) for rate in (900.0, 1000.0, 1100.0)], [_run()] * 3
    compared = Compared({"worker": ours, "own_loop": theirs, "confluent": theirs}, {})
    content = table(DENSE, compared, {"bytewax": "not installed: bytewax"})
    assert "| one worker / the same steps without Faust: rate | 1.00 (0.90 to 1.10) | >= 0.95 | met |" in content
    assert "rate | 1.00 (0.90 to 1.10) | >= 1.8 | **not met** |" in content
    assert "| one worker: CPU per event | 3.00 us (3.00 us to 3.00 us) | < 4 us | met |" in content
    assert "| Bytewax | not run: not installed: bytewax | | | | | | | |" in content
    assert "Quix" not in content
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, content)
    assert page.read_text() == f"before\n{BEGIN}\n\n{content}\n\n{END}\nafter\n"


def test_each_shape_has_targets_of_its_own() -> None:
    compared = Compared({each.name: [_run()] for each in CONTENDERS}, {})
    dense, production = (table(shape, compared, {}) for shape in SHAPES)
    assert all(f"| {each.title} | 1,000 |" in dense for each in CONTENDERS)
    assert "two workers / Kafka Streams in memory, at least once: rate | 1.00 | >= 1.3 |" in dense
    assert "two workers / Kafka Streams in memory, at least once: rate | 1.00 | >= 2.5 |" in production


def test_the_table_of_kills_shows_who_is_exact() -> None:
    killed = {"worker": Killed(8.04, None), "aiokafka": Killed(1.0, "aiokafka: 4 groups of 4 are wrong")}
    lines = killed_table(Compared({}, killed)).splitlines()
    assert lines[2:] == [
        "| one worker | exact | 8.0 |",
        "| aiokafka, orjson, dicts | aiokafka: 4 groups of 4 are wrong | 1.0 |",
    ]
