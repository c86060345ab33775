"""The loads are what the comparison of waiting evaluations with rows counts on, and both ways do all of them."""

from pathlib import Path

import pytest

from aggregator.facts import Evaluation
from bench.production import OF_ITEM
from bench.reference import EVALUATIONS_OF_ITEM, EVENTS_PER_ITEM
from bench.waiting_fold import least
from bench.waiting_load import FETCH_EVALUATIONS, LATER, annotated_items, production, summeval
from bench.waiting_worker import AGAIN, WAIT, wait
from bench.worker import CHECKPOINT, TOPICS, Costs, Fetch, become_rows, read_load, write_load
from streams.events.decoder import Decoder, Kind
from streams.kafka.record_batches import read, split
from tests.simulation.process import NoHeapFreezer

_EVALUATIONS = (LATER + 2) * FETCH_EVALUATIONS + 300


@pytest.fixture(autouse=True)
def _leaves_the_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench has a process of its own."""
    monkeypatch.setattr("bench.worker.HeapFreezer", NoHeapFreezer)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("load") / "production"
    write_load(path, production(_EVALUATIONS))
    return path


def _offsets(fetches: list[Fetch], topic: str) -> list[int]:
    batches = [split(content) for of, content in fetches if of == topic]
    return [record.offset for parts in batches for batch, raw in parts for record in read(batch, raw)[0]]


def test_offsets_are_those_of_a_broker(load: Path) -> None:
    fetches = list(read_load(load))
    assert CHECKPOINT in fetches
    assert _offsets(fetches, TOPICS.evaluations) == list(range(_EVALUATIONS))
    assert _offsets(fetches, TOPICS.annotations) == list(range(annotated_items(_EVALUATIONS)))


async def test_only_annotated_items_get_rows_while_others_wait(load: Path, tmp_path: Path) -> None:
    rows = annotated_items(_EVALUATIONS)
    assert rows > 0
    assert (await become_rows(load)).rows == rows + _EVALUATIONS
    assert (await wait(tmp_path / "wait", load, WAIT)).rows == rows * (1 + OF_ITEM)
    assert (await wait(tmp_path / "again", load, AGAIN)).rows == 0


@pytest.mark.parametrize("evaluations_first", [False, True])
async def test_all_of_the_reference_load_become_rows(tmp_path: Path, *, evaluations_first: bool) -> None:
    load = tmp_path / "load"
    write_load(load, summeval(20, evaluations_first=evaluations_first))
    fetches = list(read_load(load))
    assert len(_offsets(fetches, TOPICS.evaluations)) == 20 * EVALUATIONS_OF_ITEM
    assert (fetches[0][0] == TOPICS.evaluations) or not evaluations_first
    assert (await become_rows(load)).rows == 20 * EVENTS_PER_ITEM
    assert (await wait(tmp_path / "wait", load, WAIT)).rows == 20 * EVENTS_PER_ITEM


def test_evaluations_of_the_load_are_accepted(load: Path) -> None:
    topic, content = next(read_load(load))
    assert topic == TOPICS.evaluations
    (batch, raw), *_ = split(content)
    record = read(batch, raw)[0][0]
    decided = Decoder().decode(Kind.EVALUATION, record.value, record.key, record.headers, record.timestamp)
    assert isinstance(decided, Evaluation)


def test_of_each_doing_of_a_step_the_least_counts() -> None:
    rounds = [
        Costs({"fold": [1.0, 5.0]}, others=2.0, sealing=1.0, memory_mib=8.0, ledger_bytes=7, rows=3),
        Costs({"fold": [2.0, 3.0]}, others=1.0, sealing=2.0, memory_mib=9.0, ledger_bytes=7, rows=3),
    ]
    assert least(rounds) == Costs({"fold": [1.0, 3.0]}, 1.0, 1.0, 8.0, 7, 3)
