"""The process of a view: reader, gauges, snapshots and HTTP server in one event loop.

An unexpected exception in any part ends the process with a non-zero exit code; a supervisor restarts it, and it
continues from the store. An unavailable broker or a store that cannot be written is expected: the view serves the last
good state.
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
from sinks.snapshots import KafkaTopic, SnapshotHistory, Snapshots
from sinks.store.lock import locked
from sinks.store.reader import Reader, ReaderConfig
from sinks.store.schema import StoreError
from sinks.store.store import Store
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import log_end
from streams.runtime.heap import freeze_heap, share_arena, trim_heap

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
_PART_THREADS: Final = 8
"""Threads of reader, gauges, snapshots and memory, which call one function at a time each, and of name look-ups."""


def run_view(config: ViewConfig) -> ExitCode:
    """Run a view until SIGINT or SIGTERM; returns how it ended, which is logged when it is a failure."""
    share_arena()
    with contextlib.ExitStack() as stack:
        try:
            tokens = guard_bind(config.host, config.token_file, allow_open=config.allow_open_bind)
            _make_directory(config.data_dir)
            stack.enter_context(locked(config.data_dir, "view"))
            store = stack.enter_context(contextlib.closing(Store(config.data_dir / STORE_NAME)))
            listener = stack.enter_context(contextlib.closing(listen(config.host, config.port)))
        except EvalAlignmentError as error:
            return log_end("view", error)
        # Imported objects live as long as the process: no full collection needs to walk them.
        freeze_heap()
        try:
            asyncio.run(_run(config, store, listener, tokens))
        except Exception as error:  # noqa: BLE001 -- every failure of a part ends the process
            return log_end("view", error)
    return ExitCode.DONE


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
        streams=EventStreams(changes, metrics),
        ready=lambda: reader.ready,
        freshness=freshness,
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
    # Of the parts alone: requests have their own.
    loop.set_default_executor(ThreadPoolExecutor(_PART_THREADS, thread_name_prefix="part"))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with changes.subscribe() as for_gauges, changes.subscribe() as for_snapshots:
        collector = GaugeCollector(
            store, documents, config.series_limit, expose_judge_version=config.expose_judge_version
        )
        snapshots = Snapshots(documents, store, history, topic, metrics)
        parts = [
            asyncio.create_task(server.serve([listener]), name="http"),
            asyncio.create_task(reader.run(), name="reader"),
            asyncio.create_task(refresh(services, collector, for_gauges), name="gauges"),
            asyncio.create_task(snapshots.run(for_snapshots), name="snapshots"),
            asyncio.create_task(trim_heap(store.close_idle), name="memory"),
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
