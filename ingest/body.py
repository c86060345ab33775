"""Reads the body of a request and unpacks it, never beyond its limit."""

import asyncio
import mmap
import re
import zlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import cramjam
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive

from ingest.config import Limits
from ingest.limits import Reservation
from ingest.media import encoding_of

_GZIP: Final = 31
"""The gzip format with its largest window, for zlib."""
_PIECE: Final = 1 << 10
"""Packed bytes for zlib at a time. It unpacks them to at most a megabyte, and copies what follows a member, of which
there may be a million.
"""
_ZEROS: Final = re.compile(rb"\0*")
_BUFFER_FULL: Final = "failed to write whole buffer"
"""cramjam's message for an output that is larger than its buffer."""


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads the unpacked bodies of requests.

    Args:
        limits: of each body.
        count: takes the bytes of each body.
    """

    limits: Limits
    count: Callable[[int], object]

    async def read(
        self,
        request: Request,
        reservation: Reservation,
        turn: AbstractAsyncContextManager[object] = nullcontext(),  # noqa: B008 -- it has no state
    ) -> bytes:
        """The body without its content encoding, which is removed in its turn.

        Raises HTTPException: 400, 408, 413, 415, 429.
        """
        encoding = encoding_of(request.headers)
        packed = await read_body(request.receive, request.headers.get("content-length"), self.limits, reservation)
        async with turn:
            body = await unpack(packed, encoding, self.limits)
        reservation.resize(len(body))
        self.count(len(body))
        return body


async def read_body(receive: Receive, length: str | None, limits: Limits, reservation: Reservation) -> bytes:
    """The body as it was sent. `length`: the header Content-Length.

    Raises HTTPException: 413 beyond the limit, 408 when the body does not arrive in time, 429 without budget.
    """
    if length is not None and length.isdecimal() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    chunks = []
    try:
        async with asyncio.timeout(limits.body_seconds):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HTTPException(400, "the connection ended before the body")
                chunk = message.get("body", b"")
                if reservation.held + len(chunk) > limits.body_bytes:
                    raise _too_large(limits)
                reservation.grow(len(chunk))
                chunks.append(chunk)
                more = message.get("more_body", False)
    except TimeoutError:
        raise HTTPException(
            408, f"the body did not arrive within {limits.body_seconds:g} s", {"Connection": "close"}
        ) from None
    return b"".join(chunks)


async def unpack(body: bytes, encoding: str | None, limits: Limits) -> bytes:
    """The body without its content encoding. Raises HTTPException: 413 beyond the limit, 400 for a corrupt body."""
    if encoding is None:
        return body
    unpacked = await asyncio.to_thread(_gunzip if encoding == "gzip" else _unzstd, body, limits.body_bytes)
    if unpacked is None:
        raise HTTPException(400, f"the body is not {encoding}, or it is incomplete or corrupt")
    if len(unpacked) > limits.body_bytes:
        raise _too_large(limits)
    return bytes(unpacked)


def _gunzip(packed: bytes, limit: int) -> bytearray | None:
    """The unpacked bytes, at most `limit` + 1; None for a corrupt body. A body may have several members."""
    unpacked, at = bytearray(), 0
    member = zlib.decompressobj(_GZIP)
    while at < len(packed) and len(unpacked) <= limit:
        piece = packed[at : at + _PIECE]
        try:
            unpacked += member.decompress(piece, limit + 1 - len(unpacked))
        except zlib.error:
            return None
        at += len(piece) - len(member.unused_data)
        # Some writers fill the last block with zeros.
        if member.eof and (padding := _ZEROS.match(packed, at)) and (at := padding.end()) < len(packed):
            member = zlib.decompressobj(_GZIP)
    return unpacked if member.eof or len(unpacked) > limit else None


def _unzstd(packed: bytes, limit: int) -> bytes | None:
    """The unpacked bytes, at most `limit` + 1; None for a corrupt body. A body may have several frames."""
    # An anonymous map, since its pages take no memory until they are written.
    with mmap.mmap(-1, limit + 1) as buffer:
        try:
            return buffer[: cramjam.zstd.decompress_into(packed, buffer)]
        except cramjam.DecompressionError as error:
            return buffer[:] if str(error) == _BUFFER_FULL else None


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(
        413,
        f"the body is larger than {limits.body_bytes:,} bytes (setting `{limits.body_setting}`, after decompression); "
        "no event was sent: send fewer events per request",
    )
