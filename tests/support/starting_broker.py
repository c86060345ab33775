"""A broker that just starts: it answers, knows of no broker, not even of itself, and is gone again."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.protocol.admin import ApiVersionResponse_v0
from aiokafka.protocol.metadata import MetadataResponse_v1

from tests.support.processes import LOOPBACK

_ANSWERS = {
    18: ApiVersionResponse_v0(0, [(3, 1, 1), (18, 0, 0), (22, 0, 0)]),
    3: MetadataResponse_v1(brokers=[], controller_id=-1, topics=[]),
}
"""By the key of the request: which versions there are, and what the cluster is."""


@asynccontextmanager
async def starting_broker() -> AsyncIterator[str]:
    """Its address, while it takes connections."""
    server = await asyncio.start_server(_serve, LOOPBACK, 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = 0
    while asked != 3:
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        asked, _, correlation = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
        answer = struct.pack(">i", correlation) + _ANSWERS[asked].encode()
        writer.write(struct.pack(">i", len(answer)) + answer)
        await writer.drain()
    writer.close()
