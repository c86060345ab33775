"""Times of the page and the search, on a store of one large queue, in one process and without a broker."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import httpx

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from bench.end_to_end.site import Row
from sinks.app import create_app
from sinks.store.store import Store
from streams.runtime.heap import collect_seldom, freeze_heap
from tests.support.sample_view import HOUR_MS, NOW_MS, fill, view_of

_QUEUE: Final = "support"
_DAYS: Final = 90
_WORDS: Final = ["".join(parts) for parts in itertools.product("bdfglmnprt", "aeiou", "lnrst", "bdgkp", "aeiou")]
_SHARES: Final = [1 / (5 + rank) for rank in range(len(_WORDS))]
"""How often each word is used: as in texts, few words make most of them."""
_FIRST_MS: Final = 300.0
_LATER_MS: Final = 150.0
_SEARCH_MS: Final = 100.0
_VIEWS: Final = 3
"""Views that are asked a first time. The least time counts: other programs delay one of them."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Items of the queue, how many of them people annotated, metrics, and how often each later request is timed."""

    items: int = 50_000
    annotated: int = 5_000
    metrics: int = 20
    times: int = 9


SMALL: Final = Sizes(items=400, annotated=100, metrics=3, times=2)


def parts(directory: Path, sizes: Sizes) -> Iterator[Row]:
    """All rows, in order."""
    rng, store = random.Random(1), Store(directory / "page.sqlite3")
    try:
        fill(store, [fact for number in range(sizes.items) for fact in _item(number, rng, sizes)])
        while store.write_search_documents():
            pass
        yield from asyncio.run(_collected(_measure(store, directory, sizes)))
    finally:
        store.close()


async def _collected(rows: AsyncIterator[Row]) -> list[Row]:
    return [row async for row in rows]


def _item(number: int, rng: random.Random, sizes: Sizes) -> Iterator[Fact]:
    item, at = _name(number), NOW_MS - rng.randrange(_DAYS * 24) * HOUR_MS
    yield QueueItem(at=at, id=f"q{number}", queue=_QUEUE, item=item, input=text(rng, 12), output=text(rng, 60))
    if number < sizes.annotated:
        stars = rng.randint(1, 5)
        yield Annotation(
            at=at, id=f"a{number}", queue=_QUEUE, item=item, annotator=f"p{number % 5}", stars=stars,
            explanation=text(rng, 15), tags={"channel": ("email", "chat")[number % 2]},
        )  # fmt: skip
        for metric in range(sizes.metrics):
            score = min(1.0, max(0.0, stars / 5 + rng.gauss(0, 0.1 + metric / 50)))
            yield Evaluation(
                at=at, id=f"e{number}-{metric}", item=item, metric=f"metric_{metric}", score=score, threshold=0.5,
                passed=score >= 0.5, judge=f"v{1 + number * 2 // sizes.annotated}", reason=text(rng, 15),
            )  # fmt: skip


def _name(number: int) -> str:
    return f"trace-{number:06}"


def text(rng: random.Random, words: int) -> str:
    """Words, few of which make most of it."""
    return " ".join(rng.choices(_WORDS, _SHARES, k=words))


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of the first request of a view, the least of several views, and the median of later ones.

    Requests come one by one and nothing else runs, so on idle cores the time that a reader waits is the CPU time.
    """

    first: float
    later: float
    first_cpu: float
    later_cpu: float

    def __str__(self) -> str:
        return (
            f"CPU first {self.first_cpu:,.0f} ms, then {self.later_cpu:,.0f} ms; waited {self.first:,.0f} and "
            f"{self.later:,.0f} ms"
        )


async def _measure(store: Store, directory: Path, sizes: Sizes) -> AsyncIterator[Row]:
    # As the view does: the garbage collector does not visit what was imported.
    freeze_heap()
    collect_seldom()
    base = f"/queues/{_QUEUE}"
    queue = f"{sizes.annotated * sizes.metrics:,} comparisons and {sizes.metrics} metrics"
    for what, addresses in {
        "start page": ["/"],
        f"page of a queue of {queue}": [base],
        "its details, which a browser loads afterwards": [f"{base}?more=1"],
        "page of its newest judge version": [f"{base}?judge=v2"],
        "list of items": [f"{base}/items?page={page}" for page in range(1, sizes.times + 1)],
        "an item": [f"{base}/items/{_name(number)}" for number in range(sizes.times)],
        "an item of the list, with the next one": [
            f"{base}/items/{_name(number)}?outcome=tp,fn,tn,fp&place={number + 1}" for number in range(sizes.times)
        ],
    }.items():
        before = [base] if "afterwards" in what else []
        taken = await times(store, directory, addresses, sizes.times, before)
        yield Row(
            what,
            str(taken),
            f"<= {_FIRST_MS:.0f} and {_LATER_MS:.0f} ms",
            taken.first_cpu <= _FIRST_MS and taken.later_cpu <= _LATER_MS,
        )
    for what, words in {
        "a word that most items have": _WORDS[:1],
        "two words, each in some of the items": _WORDS[40:42],
        "the beginning of a word": [_WORDS[0][:3]],
    }.items():
        asked = f"/api/v1/queues/{_QUEUE}/comparisons?limit=20&search={'+'.join(words)}"
        taken = await times(store, directory, [asked], sizes.times)
        yield Row(
            f"search of {sizes.items:,} items: {what}",
            str(taken),
            f"<= {_SEARCH_MS:.0f} ms",
            taken.later_cpu <= _SEARCH_MS,
        )


async def times(
    store: Store, directory: Path, addresses: Sequence[str], repeats: int, before: Sequence[str] = ()
) -> Times:
    """Ask new views, whose caches have nothing but what they were asked `before`, for the addresses in turn."""
    taken: list[_Asked] = []
    first: list[_Asked] = []
    for view in range(_VIEWS):
        transport = httpx.ASGITransport(create_app(view_of(store, directory)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for each in before:
                await client.get(each)
            asked = itertools.cycle(addresses)
            first.append(await _ask(client, next(asked)))
            if view == 0:
                taken = [await _ask(client, each) for each in itertools.islice(asked, repeats)]
    return Times(
        first=min(each.wall for each in first),
        later=median(each.wall for each in taken),
        first_cpu=min(each.cpu for each in first),
        later_cpu=median(each.cpu for each in taken),
    )


class _Asked(NamedTuple):
    """Milliseconds of a request."""

    wall: float
    cpu: float


async def _ask(client: httpx.AsyncClient, address: str) -> _Asked:
    started, cpu = time.perf_counter(), time.process_time()
    answer = await client.get(address)
    taken = _Asked(1000 * (time.perf_counter() - started), 1000 * (time.process_time() - cpu))
    assert answer.status_code == 200, answer.text
    return taken
