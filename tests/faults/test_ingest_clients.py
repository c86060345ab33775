"""Row 24: slow, many and hostile clients of ingest. Its memory is bounded, and a sender among them is served."""

import asyncio
import contextlib
import gzip
import io
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import cramjam
import httpx
import orjson
import pytest

from tests.support.deployments import Cluster
from tests.support.ingest_process import EVENTS_PATH, IngestProcess
from tests.support.kafka import Kafka
from tests.support.processes import LOOPBACK

_MIB: Final = 1 << 20
CONNECTIONS: Final = 300
BODY_SECONDS: Final = 3
HEADER_SECONDS: Final = 10.0
BUDGET_BYTES: Final = 32 * _MIB
BOUND_BYTES: Final = 3 * BUDGET_BYTES + 64 * _MIB
"""A body exists up to three times: as it came, as events, and as records of the producer. The rest is for bodies that
are unpacked, and for connections."""
REQUESTS: Final = 40
ATTACK_SECONDS: Final = 2.0
USUAL_MS: Final = 5.0
SLOWER: Final = 30.0
"""Times that the median of a sender may grow, while all clients of an attack share two cores with the test."""

Attack = Callable[[IngestProcess, asyncio.Event], Awaitable[object]]
Measure = Callable[..., None]


def events(count: int, **fields: object) -> bytes:
    at = time.time_ns() // 1_000_000
    one = {"at": at, "metric": "relevance", "score": 0.5, "threshold": 0.5, **fields}
    return orjson.dumps([{"id": f"e{number}", "item": f"item-{number}", **one} for number in range(count)])


def head(length: int) -> bytes:
    return f"POST {EVENTS_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def request(body: bytes) -> bytes:
    return head(len(body)) + body


@contextlib.asynccontextmanager
async def connection(ingest: IngestProcess) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(LOOPBACK, ingest.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def wait(over: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)


def drips(first: bytes, drop: bytes = b"", pause: float = 0.5) -> Attack:
    """Connections that send a drop after each pause, and are opened again when they are closed."""

    async def client(ingest: IngestProcess, over: asyncio.Event) -> None:
        while not over.is_set():
            with contextlib.suppress(ConnectionError):
                async with connection(ingest) as (reader, writer):
                    writer.write(first)
                    answer = asyncio.create_task(reader.read())
                    while not over.is_set() and not answer.done():
                        writer.write(drop)
                        await writer.drain()
                        await wait(over, pause)
                    answer.cancel()
                    await asyncio.gather(answer, return_exceptions=True)

    return lambda ingest, over: asyncio.gather(*(client(ingest, over) for _ in range(CONNECTIONS)))


def unread(body: bytes) -> Attack:
    """Connections that send requests and never read an answer."""

    async def client(ingest: IngestProcess, over: asyncio.Event) -> None:
        async with connection(ingest) as (reader, writer):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            with contextlib.suppress(ConnectionError):
                while not over.is_set():
                    writer.write(request(body))
                    await wait(over, 0.2)

    return lambda ingest, over: asyncio.gather(*(client(ingest, over) for _ in range(CONNECTIONS)))


def posts(body: bytes, *statuses: int, encoding: str = "identity", clients: int = 4, pause: float = 0.0) -> Attack:
    """Clients that send this body without end, and are answered with one of these statuses."""

    async def client(sender: httpx.AsyncClient, over: asyncio.Event) -> None:
        while not over.is_set():
            answer = await sender.post(EVENTS_PATH, content=body, headers={"Content-Encoding": encoding})
            assert answer.status_code in statuses, answer.text
            await wait(over, pause)

    async def attack(ingest: IngestProcess, over: asyncio.Event) -> None:
        async with httpx.AsyncClient(base_url=ingest.url, timeout=60) as sender:
            await asyncio.gather(*(client(sender, over) for _ in range(clients)))

    return attack


def brackets() -> bytes:
    """An array that takes long to cut, just within the limit."""
    return gzip.compress(b"[[" + b"[]," * (WHOLE // 3 - 2) + b"[]]]")


def gzip_bomb() -> bytes:
    """1 GiB of zeros in 1 MB."""
    packed = io.BytesIO()
    with gzip.open(packed, "wb", 9) as writer:
        for _ in range(64):
            writer.write(bytes(16 * _MIB))
    return packed.getvalue()


WHOLE: Final = 8 * _MIB
"""The largest body."""
ATTACKS: Final[Mapping[str, Callable[[], Attack]]] = {
    "idle connections": lambda: drips(b""),
    "headers without an end": lambda: drips(b"POST ", b"x"),
    "bodies that trickle": lambda: drips(head(_MIB), b"[" * 100),
    "sending connections": lambda: drips(b"", request(events(10)), pause=2.0),
    "large bodies": lambda: posts(events(1500, explanation="x" * 5000), 200, 408, 429, pause=1.0),
    "oversized bodies": lambda: posts(bytes(WHOLE + 1), 413),
    "oversized events": lambda: posts(events(1, explanation="x" * (WHOLE - 1000)), 422, 429),
    "gzip bombs": lambda: posts(gzip_bomb(), 413, encoding="gzip"),
    "gzip bombs of many members": lambda: posts(gzip.compress(bytes(WHOLE)) * 100, 413, encoding="gzip"),
    "gzip bombs within the limit": lambda: posts(brackets(), 413, 429, encoding="gzip"),
    "empty gzip members": lambda: posts(gzip.compress(b"") * (WHOLE // 20), 400, 429, encoding="gzip", clients=2),
    "zstd bombs": lambda: posts(bytes(cramjam.zstd.compress(bytes(1 << 30))), 413, encoding="zstd"),
    # The last one: it leaves work of half a minute.
    "answers that nobody reads": lambda: unread(b"[" + b"1," * 9_999 + b"1]"),
}
QUICK: Final = ("bodies that trickle", "sending connections", "zstd bombs", "answers that nobody reads")


async def milliseconds(ingest: IngestProcess) -> float:
    """The median time of a request with one event, which must succeed."""
    times = []
    async with httpx.AsyncClient(base_url=ingest.url, timeout=60) as sender:
        for _ in range(REQUESTS):
            began = time.monotonic()
            answer = await sender.post(EVENTS_PATH, content=events(1))
            assert answer.status_code == 200, answer.text
            times.append((time.monotonic() - began) * 1000)
    return statistics.median(times)


@pytest.fixture(scope="module")
def ingest(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestProcess]:
    """A process that has served some requests."""
    directory = tmp_path_factory.mktemp("ingest")
    cluster = Cluster(kafka.bootstrap, f"t{uuid.uuid4().hex[:12]}.", directory)
    cluster.create_topics()
    limits: dict[str, Any] = {
        "body_timeout_s": BODY_SECONDS,
        "in_flight_bytes": BUDGET_BYTES,
        "source_body_bytes": BUDGET_BYTES,
    }
    with IngestProcess(cluster, directory, **limits) as process:
        asyncio.run(milliseconds(process))
        yield process
        # A stop would wait for its answers to clients that are gone.
        process.kill()


@pytest.mark.row(24)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.faults) for name in ATTACKS]
)
async def test_row_24_an_attack_takes_bounded_memory_and_others_are_served(
    name: str, ingest: IngestProcess, measured: Measure
) -> None:
    usual = await milliseconds(ingest)
    ingest.forget_peak()
    before = ingest.peak_bytes()
    over = asyncio.Event()
    attack = asyncio.ensure_future(ATTACKS[name]()(ingest, over))
    try:
        await wait(over, ATTACK_SECONDS)
        meanwhile = await milliseconds(ingest)
    finally:
        over.set()
        await attack
    more = ingest.peak_bytes() - before
    measured(f"{meanwhile:.0f} ms instead of {usual:.0f} ms, {more / _MIB:.0f} MiB more")
    assert more < BOUND_BYTES
    assert meanwhile < SLOWER * max(usual, USUAL_MS)


@pytest.mark.row(24)
@pytest.mark.faults
async def test_row_24_a_header_that_does_not_end_ends_the_connection(ingest: IngestProcess, measured: Measure) -> None:
    async with connection(ingest) as (reader, writer):
        writer.write(b"POST ")
        began = time.monotonic()
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            writer.write(b"x")
            await asyncio.wait([ended], timeout=0.5)
            assert time.monotonic() - began < 2 * HEADER_SECONDS
        measured("closed after", time.monotonic() - began)
