"""A process that posts the reference load to ingest on a fixed schedule, over connections that stay open.

The process generates the load, prints `ready`, sends when it reads a line, and finally prints its `Outcome` as JSON.
The schedule does not wait for answers: the time of a request counts from when it was due, not from when it was sent.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from bench.load import timed

_PATH: Final = "/api/v1/events"
_CONNECTIONS: Final = 64
"""More requests than these wait for each other, and are late."""


@dataclass(slots=True)
class Outcome:
    """What became of the requests."""

    ms: list[float] = field(default_factory=list)
    """Milliseconds from when each request was due to its answer."""
    accepted: int = 0
    """Events that were acknowledged."""
    seconds: float = 0.0
    """From when the first request was due to the last answer."""
    cpu_seconds: float = 0.0
    """CPU time of this process meanwhile."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, request: bytes) -> Any:
        """The answer to a request, which must be 200."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{head.decode()}{body.decode()}")
        return orjson.loads(body)

    def close(self) -> None:
        self._writer.close()


async def post_all(address: str, requests: list[bytes], interval: float) -> Outcome:
    """Post one request each `interval` seconds."""
    host, _, port = address.partition(":")
    idle: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()
    connections = [_Connection(*await asyncio.open_connection(host, int(port))) for _ in range(_CONNECTIONS)]
    for connection in connections:
        idle.put_nowait(connection)
    outcome = Outcome()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def post(request: bytes, due: float) -> None:
        connection = await idle.get()
        answer = await connection.post(request)
        outcome.ms.append((time.monotonic() - due) * 1000)
        outcome.accepted += answer["accepted"]
        idle.put_nowait(connection)

    started, cpu = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as posting:
        for number, request in enumerate(requests):
            due = started + number * interval
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            posting.create_task(post(request, due))
    outcome.seconds, outcome.cpu_seconds = time.monotonic() - started, time.process_time() - cpu
    for connection in connections:
        connection.close()
    return outcome


def rendered(address: str, load: list[bytes], batch: int) -> Iterator[bytes]:
    """Requests with `batch` events each: an array, or one object."""
    for first in range(0, len(load), batch):
        values = load[first : first + batch]
        body = values[0] if batch == 1 else b"[" + b",".join(values) + b"]"
        yield (
            f"POST {_PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def main() -> None:
    """Generate the load and post it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--batch", type=int, required=True, help="events of a request")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    load = [value for _, _, value in timed(options.rate, options.seconds, seed=options.seed)]
    requests = list(rendered(options.address, load, options.batch))
    outcome = asyncio.run(post_all(options.address, requests, options.batch / options.rate))
    sys.stdout.buffer.write(orjson.dumps(outcome) + b"\n")


if __name__ == "__main__":
    main()
