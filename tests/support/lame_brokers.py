"""Brokers that reply and cannot be used: one that is still starting, one without a leader."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.protocol.admin import ApiVersionResponse_v0
from aiokafka.protocol.metadata import MetadataResponse_v1

from tests.support.processes import LOOPBACK

_VERSIONS, _METADATA = 18, 3
_CAN = ApiVersionResponse_v0(0, [(_METADATA, 1, 1), (_VERSIONS, 0, 0), (22, 0, 0)])
_NO_LEADER = 5, -1
"""Error code and leader of a partition without a leader."""


@asynccontextmanager
async def starting_broker() -> AsyncIterator[str]:
    """The address of a broker that is starting: its metadata name no broker, and it closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = MetadataResponse_v1(brokers=[], controller_id=-1, topics=[])
        while await _answer_one(reader, writer, answer) != _METADATA:
            pass
        writer.close()

    async with await asyncio.start_server(serve, LOOPBACK, 0) as server:
        yield "{}:{}".format(*server.sockets[0].getsockname())


@dataclass
class Leaderless:
    """A broker with a topic whose only partition has no leader."""

    topic: str
    address: str = ""
    away: bool = False
    """Whether it closes every connection."""
    requested: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by each metadata request, and by each connection while it is away."""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def go_away(self) -> None:
        """Close all connections, and each new one."""
        self.away = True
        for writer in self._open:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if self.away:
            self.requested.release()
            writer.close()
            return
        self._open.add(writer)
        host, _, port = self.address.partition(":")
        error, leader = _NO_LEADER
        partition = error, 0, leader, [1], [1]
        answer = MetadataResponse_v1(
            brokers=[(1, host, int(port), None)], controller_id=1, topics=[(0, self.topic, False, [partition])]
        )
        try:
            while True:
                if await _answer_one(reader, writer, answer) == _METADATA:
                    self.requested.release()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def leaderless_broker(topic: str) -> AsyncIterator[Leaderless]:
    """A leaderless broker that runs."""
    broker = Leaderless(topic)
    async with await asyncio.start_server(broker.serve, LOOPBACK, 0) as server:
        broker.address = "{}:{}".format(*server.sockets[0].getsockname())
        yield broker


async def _answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, metadata: Any) -> int:
    """Answer a request; returns its key."""
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    key, _, correlation = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
    answer = struct.pack(">i", correlation) + (_CAN if key == _VERSIONS else metadata).encode()
    writer.write(struct.pack(">i", len(answer)) + answer)
    await writer.drain()
    return int(key)
