"""Spans: the directories of the store, each with the evaluations of one interval of broker time in a RocksDB.

A span whose evaluations are all older than what is kept is deleted as a whole: nothing is searched, nothing rewritten.

rocksdict has traps, and each has a test:

- It forgets the bloom filter of a database that is opened again without `column_families`.
- An iterator that meets a damaged block ends like one without more rows. Only its `status` raises.
- An iterator keeps its database open, also when only a traceback has it. The lock then stays.
- After a failed write every call of the handle fails, and `close` may raise. It closes all the same.
- `close` raises while another thread uses the handle.
- `write`, `close` and opening hold the GIL; `flush` and `compact_range` do not.
"""

import contextlib
import logging
import re
import shutil
import time
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DbClosedError,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    SliceTransform,
    UniversalCompactOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from streams.waiting.directory import DIRECTORY_MODE
from streams.waiting.positions import SpanContent, sync_directory
from streams.waiting.store import StoreAwayError, StoreLostError, StorePlace
from streams.waiting.window import HASH_BYTES, Slice

log = logging.getLogger(__name__)

MAX_SPANS: Final = 64
"""There are nine, more only while expiry waits. Above that, evaluations of any broker time go into an existing span."""
_NAME: Final = re.compile(r"(-?\d+)_(-?\d+)")
_MEMTABLE_BYTES: Final = 32 << 20
_MEMTABLES: Final = 4
_CACHE_BYTES: Final = 32 << 20
_RUNS: Final = 64
"""Files of the open span before RocksDB merges them. A look-up reads the filter of each, about 1 us."""
_OPEN_FILES: Final = 256
_BLOOM_BITS: Final = 10
_BLOCK_BYTES: Final = 16 << 10
"""Before compression. With 4 KiB, RocksDB's default, sealing takes half as much CPU again, and files are a fifth
larger."""
_ZSTD_LEVEL: Final = 1
_DEFAULT_WINDOW_BITS: Final = -14
_LOG_FILES: Final = 2
_LOG_BYTES: Final = 1 << 20
_FILE_MODE: Final = 0o600

# How messages of RocksDB begin where rows are lost. Its Python binding raises `Exception` for all of its errors.
_LOST: Final = ("Corruption", "Invalid argument", "Not implemented", "NotFound")
_MISSING: Final = "No such file or directory"


def failure_of(error: Exception) -> StoreLostError | StoreAwayError:
    """What an error of RocksDB or of the file system means for the store.

    It is a new exception: the traceback of the old one keeps frames, and they keep databases open.
    """
    message = str(error)
    if isinstance(error, StoreLostError):
        return StoreLostError(message)
    if not isinstance(error, OSError | StoreAwayError) and (message.startswith(_LOST) or _MISSING in message):
        return StoreLostError(message)
    return StoreAwayError(message)


class Resources:
    """What the spans share: memory for rows that are not in files yet, cached blocks, and options."""

    def __init__(self, *, wal: bool) -> None:
        cache = Cache(_CACHE_BYTES)
        buffers = WriteBufferManager(_MEMTABLES * _MEMTABLE_BYTES, False)
        self.options = _options(cache, buffers)
        self.create = _options(cache, buffers)
        self.create.create_if_missing(True)
        self.write = WriteOptions()
        self.write.disable_wal = not wal  # type: ignore[method-assign, assignment]  # an attribute, unlike its stub
        self.read = ReadOptions()
        self.read.set_prefix_same_as_start(True)


def _options(cache: Cache, buffers: WriteBufferManager) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_cache_index_and_filter_blocks(True)
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_bloom_filter(_BLOOM_BITS, False)
    table.set_block_size(_BLOCK_BYTES)
    options = Options(raw_mode=True)
    options.create_if_missing(False)
    options.set_block_based_table_factory(table)
    options.set_prefix_extractor(SliceTransform.create_fixed_prefix(HASH_BYTES))
    options.set_write_buffer_size(_MEMTABLE_BYTES)
    options.set_write_buffer_manager(buffers)
    options.set_compaction_style(DBCompactionStyle.universal())
    options.set_universal_compaction_options(UniversalCompactOptions())
    options.set_level_zero_file_num_compaction_trigger(_RUNS)
    options.set_level_zero_slowdown_writes_trigger(4 * _RUNS)
    options.set_level_zero_stop_writes_trigger(8 * _RUNS)
    options.set_compression_type(DBCompressionType.lz4())
    # For sealing: lz4 has no positive level.
    options.set_compression_options(_DEFAULT_WINDOW_BITS, _ZSTD_LEVEL, 0, 0)
    options.set_max_open_files(_OPEN_FILES)
    options.set_keep_log_file_num(_LOG_FILES)
    options.set_max_log_file_size(_LOG_BYTES)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


class Span:
    """One directory. Errors of RocksDB are raised as StoreLostError or StoreAwayError."""

    def __init__(self, directory: Path, content: SpanContent, resources: Resources, *, create: bool) -> None:
        self.directory = directory
        self.content = content
        self._writes = self._flushed_writes = 0
        self.changed_at = time.monotonic()
        """When the last rows came, or the span was opened."""
        self._resources = resources
        options = resources.create if create else resources.options
        if create:
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        elif not directory.is_dir():
            raise StoreLostError(f"{directory} is missing")
        try:
            # Without `column_families` an existing database has no filter.
            self._rows = Rdict(str(directory), options, column_families={"default": options})
        except Exception as error:  # noqa: BLE001
            failure = failure_of(error)
        else:
            if self._rows.latest_sequence_number() >= content.sequence:
                return
            self.close()
            failure = StoreLostError(f"{directory} lacks rows")
        raise failure

    @property
    def key(self) -> tuple[int, int]:
        """Order of the spans."""
        return self.content.start, self.content.end

    @property
    def is_flushed(self) -> bool:
        """Whether all rows are in files."""
        return self._writes == self._flushed_writes

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of the files with rows."""
        return self._rows.property_int_value("rocksdb.total-sst-files-size") or 0

    @property
    def runs(self) -> int:
        """Number of files that a look-up asks, before the span is sealed."""
        return int(self._rows.property_value("rocksdb.num-files-at-level0") or 0)

    def write(self, piece: Slice) -> None:
        """Write rows into memory, and into the log of the database if it has one."""
        batch = WriteBatch(raw_mode=True)
        for key, value in piece.rows:
            batch[key] = value
        try:
            self._rows.write(batch, self._resources.write)
        except Exception as error:  # noqa: BLE001
            failure = failure_of(error)
        else:
            self._writes += 1
            self.changed_at = time.monotonic()
            self._count(piece)
            return
        raise failure

    def _count(self, piece: Slice) -> None:
        content = self.content
        content.oldest = piece.oldest if content.oldest is None else min(content.oldest, piece.oldest)
        content.newest = piece.newest if content.newest is None else max(content.newest, piece.newest)
        count = content.evaluations.get(piece.partition, 0)
        content.evaluations[piece.partition] = count + piece.evaluations

    def look_up(self, prefix: bytes, start: bytes, limit: int) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """Key and value of rows whose keys start with a prefix of at least `HASH_BYTES`, from the key `start` on.

        Ends after the row that reaches `limit` bytes of values; returns the key of the row after it, too.
        """
        rows: list[tuple[bytes, bytes]] = []
        following: bytes | None = None
        failure: StoreLostError | StoreAwayError | None = None
        try:
            iterator = self._rows.iter(self._resources.read)
            try:
                iterator.seek(start)
                while iterator.valid() and (key := iterator.key()).startswith(prefix):
                    if limit <= 0:
                        following = key
                        break
                    value = iterator.value()
                    rows.append((key, value))
                    limit -= len(value)
                    iterator.next()
                iterator.status()
            finally:
                # It keeps the database open, and a traceback keeps this frame.
                del iterator
        except Exception as error:  # noqa: BLE001
            failure = failure_of(error)
        if failure is not None:
            raise failure
        return rows, following

    def flush(self) -> None:
        """Make rows in memory durable. For a thread."""
        writes, sequence = self._writes, self._rows.latest_sequence_number()
        self._durably(self._rows.flush)
        self._flushed_writes, self.content.sequence = writes, sequence

    def sync_log(self) -> None:
        """Make the log of the database durable."""
        self._durably(lambda: self._rows.flush_wal(True))

    def seal(self) -> None:
        """Compact everything into one run, with the better compression. For a thread."""
        self._durably(self._compact)

    def _compact(self) -> None:
        self._rows.set_options({"compression": "kZSTD"})
        self._rows.compact_range(None, None)

    def _durably(self, step: Callable[[], None]) -> None:
        try:
            step()
            for path in self.directory.iterdir():
                # RocksDB deletes files meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    path.chmod(_FILE_MODE)
        except Exception as error:  # noqa: BLE001
            failure = failure_of(error)
        else:
            return
        raise failure

    def stop(self) -> None:
        """Make `seal` end early in its thread."""
        # It may have ended, and be closed.
        with contextlib.suppress(DbClosedError):
            self._rows.cancel_all_background(False)

    def close(self) -> None:
        """Give the directory back. No thread may be in a method of the span."""
        try:
            self._rows.close()
        except Exception as error:  # noqa: BLE001
            # What failed before fails again, and the database is closed all the same.
            log.info("closing %s: %s", self.directory, error)


class Spans:
    """All spans of a store, in order of broker time, without overlap."""

    def __init__(self, directory: Path, span_ms: int, *, wal: bool) -> None:
        self._directory = directory
        self._span_ms = span_ms
        self._resources = Resources(wal=wal)
        self._spans: list[Span] = []
        self._taken_out: list[Span] = []

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    @property
    def oldest_ms(self) -> int | None:
        """The least broker time of an evaluation; None for none."""
        return min((span.content.oldest for span in self._spans if span.content.oldest is not None), default=None)

    def evaluations(self, partition: int | None) -> int:
        """Number of evaluations of one partition, or of all."""
        counts = [span.content.evaluations for span in self._spans]
        if partition is None:
            return sum(sum(each.values()) for each in counts)
        return sum(each.get(partition, 0) for each in counts)

    def forget(self, partition: int) -> None:
        """Count nothing of a partition any more."""
        for span in self._spans:
            span.content.evaluations.pop(partition, None)

    def open(self, listed: Iterable[SpanContent]) -> None:
        """Open the listed spans, and others that a process began and did not live to list."""
        contents = {(content.start, content.end): content for content in listed}
        for path in self._directory.iterdir():
            if (match := _NAME.fullmatch(path.name)) and (key := (int(match[1]), int(match[2]))) not in contents:
                self._open(SpanContent(*key), create=True)
        for content in contents.values():
            self._open(content, create=False)

    def _open(self, content: SpanContent, *, create: bool) -> Span:
        directory = self._directory / f"{content.start}_{content.end}"
        span = Span(directory, content, self._resources, create=create)
        insort(self._spans, span, key=lambda each: each.key)
        return span

    def for_time(self, time_ms: int) -> Span:
        """The span of a broker time, which is begun if none has it."""
        after = bisect_right(self._spans, time_ms, key=lambda span: span.content.start)
        below = self._spans[after - 1] if after else None
        above = self._spans[after] if after < len(self._spans) else None
        if below is not None and time_ms < below.content.end:
            return below
        if len(self._spans) >= MAX_SPANS:
            return above or self._spans[-1]
        # Spans of another width may be there, from before a change of the setting.
        start = time_ms // self._span_ms * self._span_ms
        end = start + self._span_ms
        if below is not None:
            start = max(start, below.content.end)
        if above is not None:
            end = min(end, above.content.start)
        return self._open(SpanContent(start, end), create=True)

    def write(self, piece: Slice) -> None:
        """Write rows into the span of their newest evaluation."""
        self.for_time(piece.newest).write(piece)

    def look_up(
        self, prefix: bytes, after: StorePlace | None, limit: int
    ) -> tuple[list[tuple[bytes, bytes]], StorePlace | None]:
        """Key and value of rows whose keys start with a prefix, from a place on, until they have `limit` bytes.

        The second value is the place of the next row, None after the last one: the start of its span, and its key.
        """
        rows: list[tuple[bytes, bytes]] = []
        for span in self._spans:
            start = prefix
            if after is not None and span.content.start <= after[0]:
                if span.content.start < after[0]:
                    continue
                start = after[1]
            of_span, following = span.look_up(prefix, start, limit)
            rows += of_span
            if following is not None:
                return rows, (span.content.start, following)
            limit -= sum(len(value) for _, value in of_span)
        return rows, None

    def ended(self, before: int) -> list[Span]:
        """Spans without an evaluation from `before` on, nor any that may still come."""
        return [
            span
            for span in self._spans
            if span.content.end <= before and (span.content.newest is None or span.content.newest < before)
        ]

    def unflushed(self) -> list[Span]:
        """Spans with rows that are only in memory, or in the log of their database."""
        return [span for span in self._spans if not span.is_flushed]

    def to_seal(self, quiet_seconds: float) -> list[Span]:
        """Spans that have several files and into which nothing came for some time; never the newest."""
        before = time.monotonic() - quiet_seconds
        return [span for span in self._spans[:-1] if span.is_flushed and span.changed_at <= before and span.runs]

    def take_out(self, spans: Iterable[Span]) -> None:
        """Look these up no more. They are to be deleted once no thread is in them."""
        for span in spans:
            self._spans.remove(span)
            self._taken_out.append(span)

    def delete_taken_out(self) -> None:
        """Close the spans that were taken out, and delete their directories. Raises OSError."""
        spans, self._taken_out = self._taken_out, []
        for span in spans:
            span.close()
            shutil.rmtree(span.directory)
            sync_directory(self._directory)

    def close(self) -> None:
        """Close all. No thread may be in them."""
        for span in (*self._spans, *self._taken_out):
            span.close()
        self._spans, self._taken_out = [], []
