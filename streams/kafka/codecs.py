"""Bounded decompression of record batches: no batch, of any bytes, needs more than a fixed amount of memory.

Each codec reports that the limit is passed before the rest is unpacked. What a batch declares about its size is used
as a hint only.
"""

import mmap
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import cramjam

from streams.runtime.errors import EvalAlignmentError

MAX_UNPACKED_BYTES: Final = 64 << 20
"""Largest size of a record batch after decompression."""

_RATIOS: Final = {3: (6, 48), 4: (16, 256)}
"""By codec, the compression ratios for which memory is tried before the limit: events as JSON have 3 to 12."""
_MAX_MEMBERS: Final = 100
"""Most members of gzip data, of which producers write one. Each is found by a copy of all that follow."""
_LEAST_ROOM: Final = 2 << 10
_MAX_ROOM: Final = 4 << 20
"""Largest memory that is tried before the limit."""
_ROOM_IS_FULL: Final = "failed to write whole buffer"
_XERIAL: Final = b"\x82SNAPPY\0\0\0\0\1\0\0\0\1"


Unpacked = bytes | memoryview


class UnpackError(EvalAlignmentError):
    """The bytes are not what their codec makes."""


class TooLargeError(UnpackError):
    """The bytes would unpack to more than `MAX_UNPACKED_BYTES`."""


def unpack(codec: int, packed: bytes) -> Unpacked:
    """Return what is packed, by the number of the codec in Kafka's record batches. Raises UnpackError."""
    if codec == 0:
        return packed
    decompress = _CODECS.get(codec)
    if decompress is None:
        raise UnpackError(f"unknown codec {codec}")
    try:
        return decompress(packed)
    except (zlib.error, cramjam.DecompressionError) as error:
        raise UnpackError(f"invalid {_NAMES[codec]} data: {error}") from None


def _gzip(packed: bytes) -> bytes:
    members: list[bytes] = []
    size = 0
    while packed:
        member = zlib.decompressobj(wbits=31)
        # One byte more than is allowed: zero would mean no limit.
        content = member.decompress(packed, MAX_UNPACKED_BYTES - size + 1)
        size += len(content)
        if size > MAX_UNPACKED_BYTES:
            raise TooLargeError
        if not member.eof:
            raise UnpackError("invalid gzip data: it is cut off")
        if len(members) == _MAX_MEMBERS:
            raise UnpackError(f"invalid gzip data: it has more than {_MAX_MEMBERS} members")
        members.append(content)
        packed = member.unused_data.lstrip(b"\0")
    return b"".join(members)


def _snappy(packed: bytes) -> bytes:
    blocks = list(_xerial_blocks(packed)) if packed.startswith(_XERIAL) else [packed]
    # Every block begins with its size, and its decompression fails when that is wrong.
    if sum(map(cramjam.snappy.decompress_raw_len, blocks)) > MAX_UNPACKED_BYTES:
        raise TooLargeError
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def _xerial_blocks(packed: bytes) -> Iterator[bytes]:
    position = len(_XERIAL)
    while position < len(packed):
        size, position = int.from_bytes(packed[position : position + 4]), position + 4
        if not size or position + size > len(packed):
            raise UnpackError("invalid snappy data: a block is cut off")
        yield packed[position : position + size]
        position += size


def _lz4(packed: bytes) -> Unpacked:
    return _into_room(cramjam.lz4.decompress_into, packed, [len(packed) * ratio for ratio in _RATIOS[3]])


def _zstd(packed: bytes) -> Unpacked:
    size = _zstd_content_size(packed)
    tried = [len(packed) * ratio for ratio in _RATIOS[4]] if size is None else [size]
    return _into_room(cramjam.zstd.decompress_into, packed, tried)


def _zstd_content_size(packed: bytes) -> int | None:
    """The size that the first frame declares; None without one."""
    if len(packed) < 14 or not packed.startswith(b"\x28\xb5\x2f\xfd"):
        return None
    descriptor = packed[4]
    flag, single_segment = descriptor >> 6, descriptor >> 5 & 1
    start = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    if flag == 0:
        return packed[start] if single_segment else None
    return int.from_bytes(packed[start : start + (1 << flag)], "little") + (256 if flag == 1 else 0)


def _into_room(decompress_into: Callable[[bytes, Any], int], packed: bytes, tried: Iterable[int]) -> Unpacked:
    """Unpack into memory of these sizes, one after the other; when they are too small, into as much as is allowed."""
    for expected in tried:
        if expected > _MAX_ROOM:
            break
        room = bytearray(max(expected, _LEAST_ROOM))
        try:
            size = decompress_into(packed, room)
        except cramjam.DecompressionError as error:
            if _ROOM_IS_FULL not in str(error):
                raise
        else:
            return memoryview(room)[:size]
    # Of an anonymous mapping, only the pages that are written need memory.
    with mmap.mmap(-1, MAX_UNPACKED_BYTES) as large:
        try:
            size = decompress_into(packed, large)
        except cramjam.DecompressionError as error:
            if _ROOM_IS_FULL not in str(error):
                raise
            raise TooLargeError from None
        return large[:size]


_NAMES: Final = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_CODECS: Final[Mapping[int, Callable[[bytes], Unpacked]]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
