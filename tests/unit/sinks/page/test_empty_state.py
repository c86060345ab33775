"""A queue without comparisons shows which items wait for which side."""

import shlex
from pathlib import Path

import httpx
import pytest

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from sinks.api.services import Services
from sinks.page.urls import queue_path
from sinks.store.store import Store
from streams.events.decoder import Decoder, Rejection
from tests.support.html import Element, read
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.unit.sinks.page.conftest import connected

AT = NOW_MS - 180_000


def listed(*items: str) -> list[Fact]:
    return [QueueItem(at=AT, id=f"q{item}", queue="q", item=item) for item in items]


def rated(item: str, level: str = "trace", annotator: str = "ann") -> Annotation:
    return Annotation(at=AT, id=f"a{item}{annotator}", queue="q", item=item, annotator=annotator, level=level, stars=4)  # type: ignore[arg-type]


def judged(item: str, metric: str = "m", level: str = "trace", *, passed: bool | None = True) -> Evaluation:
    status = "ok" if passed is not None else "error"
    return Evaluation(
        at=AT + 60_000, id=f"e{item}{metric}", item=item, metric=metric, level=level, passed=passed, status=status,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def services(store: Store, tmp_path: Path) -> Services:
    """A view of an empty store."""
    return view_of(store, tmp_path)


async def empty(client: httpx.AsyncClient) -> Element:
    page = read((await client.get("/queues/q")).text)
    return page.one("section", class_="empty")


async def test_the_empty_state_counts_both_sides_by_level(services: Services, store: Store) -> None:
    fill(
        store,
        [
            *listed("i1", "i2", "i3", "i4"), rated("i1"), rated("i1", annotator="bob"), rated("o", "span"),
            judged("i2"), judged("i2", "other"), judged("i3", level="thread"), judged("i4", passed=None),
            judged("elsewhere"),
        ],
    )  # fmt: skip
    async with connected(services) as client:
        shown = await empty(client)
    (evaluations,), (annotations,) = (shown.all("b", data_waiting=side) for side in ("evaluations", "annotations"))
    assert (evaluations.words, annotations.words) == ("3", "3")
    assert "3 evaluations on 2 items wait for an annotation: 1 trace, 1 thread" in shown.words
    assert "3 annotations on 2 items wait for an evaluation: 1 trace, 1 span" in shown.words
    assert (
        "4 items in the queue: 1 without an evaluation, 1 with failed ones only, 3 without an annotation."
        in shown.words
    )
    assert "Annotations and evaluations arrive, but no item has both yet." in shown.words
    assert "Last annotation 3 min ago. Last evaluation 2 min ago." in shown.words


async def test_the_empty_state_names_judges_that_failed(services: Services, store: Store) -> None:
    fill(store, [rated("i1"), rated("i2"), judged("i1", passed=None), judged("i2", passed=None), judged("i3")])
    async with connected(services) as client:
        shown = await empty(client)
    assert "m on overall: No verdict on 2 annotated items: 2 errors." in shown.words
    assert "Annotated items were evaluated, but no judge gave a verdict on one." in shown.words


async def test_the_empty_state_without_queue_items_explains_the_unknown_side(services: Services, store: Store) -> None:
    fill(store, [rated("i1"), judged("i2")])
    async with connected(services) as client:
        shown = await empty(client)
    assert "Available only for queues that receive queue-item events" in shown.words
    assert "1 annotation on 1 item waits for an evaluation: 1 trace" in shown.words


async def test_the_empty_state_names_a_queue_of_items_only(services: Services, store: Store) -> None:
    fill(store, listed("i1"))
    async with connected(services) as client:
        shown = await empty(client)
    assert "none is annotated or evaluated yet" in shown.words


async def test_a_queue_whose_annotations_were_all_retracted_says_so_and_is_not_listed(
    services: Services, store: Store
) -> None:
    retracted = Annotation(at=AT + 9, id="d", queue="q", item="i1", annotator="ann", deleted=True)
    fill(store, [rated("i1"), judged("i1"), retracted, Annotation(at=AT, id="o", queue="other", item="i2", stars=4)])
    async with connected(services) as client:
        shown = await empty(client)
        index, whole = [read((await client.get(path)).text) for path in ("/", "/?empty=1")]
    assert "The only annotation of this queue was retracted" in shown.words
    assert "Items are in the queue" not in shown.words
    names = [[row.one("a").words for row in page.one("tbody").all("tr")] for page in (index, whole)]
    assert names == [["other"], ["other", "q"]]
    assert "1 queue whose annotations were all retracted is not listed" in index.words
    assert "is not listed" not in whole.words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "items announced, 2 of them compared, and 3 compared that were not announced"),
        ("?window=7d", "items announced, 2 of them compared, and 2 compared that were not announced"),
        ("?window=30d", "items announced, 2 of them compared, and 3 compared that were not announced"),
    ],
)
async def test_compared_items_that_were_not_announced_are_told_apart(
    services: Services, store: Store, query: str, words: str
) -> None:
    old = Annotation(at=AT - 20 * DAY_MS, id="old", queue="q", item="o3", stars=4)
    both = [fact for item in ("i1", "i2", "o1", "o2") for fact in (rated(item), judged(item))]
    fill(store, [*listed("i1", "i2", "i3", "i4"), *both, old, judged("o3"), rated("o4"), judged("o5")])
    async with connected(services) as client:
        page = read((await client.get(f"/queues/q{query}")).text)
    announced = page.one("dl", class_="strip").all("div")[0]
    assert (announced.one("dt").words, announced.one("dd").words) == (words, "4")


@pytest.mark.parametrize("queue", ["q", 'it\'s "quoted" $(x) `y` é'])
async def test_the_commands_make_a_comparison(services: Services, store: Store, queue: str) -> None:
    annotation = Annotation(at=AT, id="a", queue=queue, item="conv 'one'", stars=4)
    fill(store, [annotation])
    async with connected(services) as client:
        shown = read((await client.get(queue_path(queue))).text).one("section", class_="empty")
    facts: list[Fact] = []
    for command in shown.all("p", class_="command"):
        echo, event, *rest = shlex.split(command.text)
        assert (echo, rest) == ("echo", ["|", "eval-alignment", "load", "-"])
        assert event.isprintable()
        outcome = Decoder().decode_line(event.encode())
        assert not isinstance(outcome, Rejection), outcome
        facts.append(outcome[1])
    ours, theirs = facts
    assert (ours.item, theirs.item) == (annotation.item, annotation.item)
    assert isinstance(ours, Annotation)
    assert ours.queue == queue


async def test_ids_of_both_sides_show_that_they_differ(services: Services, store: Store) -> None:
    fill(store, [rated("conv-1"), rated("conv-2"), judged("trace/1"), judged("trace/2")])
    async with connected(services) as client:
        shown = await empty(client)
    assert "Items that people annotated here: conv-1, conv-2." in shown.words
    assert "Items that metrics judged: trace/2, trace/1." in shown.words
    assert "Both sides must use the same ids" in shown.words
