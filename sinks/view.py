"""The process of a view: reader, gauges, snapshots and HTTP server in one event loop.

An unexpected exception in any part ends the process with a non-zero exit code; a supervisor restarts it, and it
continues from the store. An unavailable broker or a store that cannot be written is expected: the view serves the last
good state. A store that is damaged is set aside, and all parts start again with a new one.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector

from sinks.access import AccessToken, guard_bind
from sinks.api.services import Services
from sinks.api.sse import EventStreams
from sinks.app import create_app
from sinks.changes import Changes, Subscription
from sinks.config import ViewConfig
from sinks.documents import Documents
from sinks.freshness import Freshness, StaleCause
from sinks.gauges import GaugeCollector
from sinks.listener import HttpServer, ServerLimits, listen
from sinks.metrics import ViewMetrics
from sinks.rejections import HOUR_MS
from sinks.snapshots import KafkaTopic, SnapshotHistory, Snapshots
from sinks.store import store_files
from sinks.store.damage import StoreDamagedError, StoreGoneError, copy_history, refuse_damaged, set_aside
from sinks.store.lock import locked
from sinks.store.reader import Reader, ReaderConfig
from sinks.store.schema import StoreError
from sinks.store.store import Store
from streams.kafka.dead_letter_tail import DeadLetterTail
from streams.runtime.directory_lock import is_current
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import log_end
from streams.runtime.heap import collect_seldom, freeze_heap, share_arena, trim_heap

log = logging.getLogger(__name__)

STORE_NAME: Final = "view.sqlite3"
"""The store's file in the data directory."""
_REFRESH_SECONDS: Final = 0.05
"""Minimum pause between two refreshes of the gauges. It is also as long as the last refresh, so half a core at most."""
_IDLE_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 8.0
"""Time for the parts to stop: 3 s for running requests, 2 s for snapshots, the rest for the reader's last write."""
_CONNECTIONS: Final = 300
_GRACE_SECONDS: Final = 3
_REPLACEMENTS: Final = 3
"""Damaged stores that are replaced, each within `_STURDY_SECONDS` of the one before; then the view ends."""
_STURDY_SECONDS: Final = 3_600.0
_PART_THREADS: Final = 8
"""Threads of reader, gauges, snapshots and memory, which call one function at a time each, and of name look-ups."""


def run_view(config: ViewConfig) -> ExitCode:
    """Run a view until SIGINT or SIGTERM; returns how it ended, which is logged when it is a failure."""
    share_arena()
    # Imported objects live as long as the process: no full collection needs to walk them.
    freeze_heap()
    collect_seldom()
    with contextlib.ExitStack() as stack:
        try:
            tokens = guard_bind(config.host, config.token_file, allow_open=config.allow_open_bind)
            _make_directory(config.data_dir)
            _serve_on(config, tokens, stack)
        except Exception as error:  # noqa: BLE001 -- every failure of a part ends the process
            return log_end("view", error)
    return ExitCode.DONE


def _serve_on(config: ViewConfig, tokens: Sequence[AccessToken], locks: contextlib.ExitStack) -> None:
    """Serve until a signal. A store that is damaged is replaced, but not again and again.

    The directory is locked until `locks` ends; one that was deleted and is made again, too.
    """
    replaced = 0
    lock = locks.enter_context(locked(config.data_dir, "view"))
    while True:
        started = time.monotonic()
        try:
            return _serve(config, tokens)
        except StoreDamagedError as error:
            replaced = replaced + 1 if time.monotonic() - started < _STURDY_SECONDS else 1
            if replaced > _REPLACEMENTS:
                raise
            _make_directory(config.data_dir)
            if not is_current(lock, config.data_dir):
                lock = locks.enter_context(locked(config.data_dir, "view"))
            _replace_store(config.data_dir / STORE_NAME, error)


def _serve(config: ViewConfig, tokens: Sequence[AccessToken]) -> None:
    path = config.data_dir / STORE_NAME
    refuse_damaged(path)
    with (
        contextlib.closing(Store(path)) as store,
        contextlib.closing(listen(config.host, config.port)) as listener,
    ):
        asyncio.run(_run(config, store, listener, tokens))


def _replace_store(path: Path, error: StoreDamagedError) -> None:
    """Put a new store, with the readable history, in the place of a damaged one, which nobody has open."""
    if isinstance(error, StoreGoneError):
        if not path.exists():
            # What is left of its log would be taken for that of the new one.
            store_files.delete(path)
        log.error("%s. A new one is read from the topics. Check who deleted it, and its disk", error)
        return
    aside = set_aside(path)
    with contextlib.closing(Store(path)) as store, store.write() as connection:
        documents = copy_history(aside, connection)
    log.error(
        "%s. It is set aside as %s, and a new one is read from the topics; %d documents of the history are kept. Check "
        "the disk",
        error,
        aside,
        documents,
    )


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create data_dir {directory}: {error.strerror}") from error


async def _run(config: ViewConfig, store: Store, listener: socket.socket, tokens: Sequence[AccessToken]) -> None:
    metrics = ViewMetrics(config.version)
    ProcessCollector(registry=metrics.registry)
    changes = Changes()
    freshness = Freshness(config.stale_after_s)
    documents = Documents(store, config.rules, lambda: datetime.now(UTC).date())
    history = SnapshotHistory(store, config.history_count, config.history_days)
    topic = KafkaTopic(config.snapshots_topic, config.client) if config.publish else None
    reader = Reader(
        ReaderConfig(client=config.client, facts_topic=config.facts_topic, tallies_topic=config.tallies_topic),
        store,
        changes.notify,
        metrics,
        freshness,
    )
    services = Services(
        config=config,
        store=store,
        documents=documents,
        changes=changes,
        metrics=metrics,
        streams=EventStreams(changes, metrics, proxies=config.proxy_addresses),
        ready=lambda: reader.ready,
        foreign_rows=lambda: reader.foreign_rows,
        freshness=freshness,
    )
    dead_letters = DeadLetterTail(
        config.client,
        config.dead_letters_topic,
        lambda event: services.rejections.note(event.timestamp, event.reason, round(services.now() * 1000)),
        lambda: round(services.now() * 1000) - HOUR_MS,
        "the page does not show rejected events",
    )
    server = HttpServer(
        create_app(services, tokens),
        limits=ServerLimits(
            connections=_CONNECTIONS, per_address=config.connections_per_address, proxies=config.proxy_addresses
        ),
        refusals=metrics.refusals,
        keep_alive_s=config.keep_alive_s,
        grace_s=_GRACE_SECONDS,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    store_damage = _StoreDamage(store)
    # Of the parts alone: requests have their own.
    loop.set_default_executor(ThreadPoolExecutor(_PART_THREADS, thread_name_prefix="part"))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with changes.subscribe() as for_gauges, changes.subscribe() as for_snapshots:
        collector = GaugeCollector(
            store,
            documents,
            config.series_limit,
            expose_judge_version=config.expose_judge_version,
            segment_tags=config.segment_gauges,
        )
        snapshots = Snapshots(
            documents,
            store,
            history,
            topic,
            metrics,
            now=lambda: freshness.broker_now() if reader.ready else time.time(),
        )
        parts = [
            asyncio.create_task(server.serve([listener]), name="http"),
            asyncio.create_task(reader.run(), name="reader"),
            asyncio.create_task(refresh(services, collector, for_gauges), name="gauges"),
            asyncio.create_task(dead_letters.run(), name="dead letters"),
            asyncio.create_task(snapshots.run(for_snapshots), name="snapshots"),
            asyncio.create_task(trim_heap(store.close_idle), name="memory"),
            asyncio.create_task(store_damage.wait(), name="store"),
        ]
        stopping = asyncio.create_task(stop.wait(), name="signal")
        log.info("serving http://%s:%d", *listener.getsockname()[:2])
        try:
            done, _ = await asyncio.wait([*parts, stopping], return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
            if stopping not in done:
                raise RuntimeError(f"{', '.join(part.get_name() for part in done)} ended unexpectedly")
        finally:
            services.streams.close()
            server.should_exit = True
            for part in (*parts[1:], stopping):
                part.cancel()
            # aiokafka sometimes hangs while it stops. Everything is in the store, so a second cancellation ends it.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await asyncio.gather(*parts, stopping, return_exceptions=True)
            if topic is not None:
                await topic.close()


class _StoreDamage:
    """Ends the part that waits for it when a thread finds that the store is damaged."""

    def __init__(self, store: Store) -> None:
        loop = asyncio.get_running_loop()
        self._found: asyncio.Future[None] = loop.create_future()

        def note(error: StoreDamagedError) -> None:
            # A request may find it while the view ends.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._fail, error)

        store.on_damage = note

    async def wait(self) -> None:
        """Wait until cancelled. Raises StoreDamagedError."""
        await self._found

    def _fail(self, error: StoreDamagedError) -> None:
        if not self._found.done():
            self._found.set_exception(error)


async def refresh(services: Services, collector: GaugeCollector, changes: Subscription) -> None:
    """Refresh the gauges until cancelled: soon after a change, otherwise every few seconds."""
    metrics = services.metrics
    suppressed = 0
    while True:
        started = time.monotonic()
        try:
            gauges = await asyncio.to_thread(collector.collect, services.today(), caught_up=services.ready())
        except sqlite3.OperationalError as error:
            metrics.failed("gauges")
            log.warning("gauges not refreshed, retrying: %s", error)
        else:
            services.gauges = gauges
            metrics.as_of.set((gauges.as_of or 0) / 1000)
            metrics.suppressed.inc(max(0, gauges.suppressed - suppressed))
            suppressed = gauges.suppressed
            metrics.foreign_rows.set(services.foreign_rows())
            metrics.failed_queues.set(len(services.documents.failed))
            metrics.succeeded("gauges", services.now())
        _show_staleness(services)
        took = time.monotonic() - started
        metrics.collect_seconds.observe(took)
        await asyncio.sleep(max(_REFRESH_SECONDS, took))
        await changes.wait(_IDLE_SECONDS)


def _show_staleness(services: Services) -> None:
    staleness = services.freshness.judge(services.gauges.complete, services.now())
    for cause in StaleCause:
        services.metrics.stale.labels(cause.value).set(cause is staleness.cause)
