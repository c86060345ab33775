"""The process of ingest: HTTP server and producer in one event loop.

An unexpected exception in either ends the process with a non-zero exit code. An unavailable broker is expected.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import ProcessCollector

from ingest.app import create_app
from ingest.config import IngestConfig
from ingest.metrics import IngestMetrics
from ingest.publish import Publisher
from ingest.pulls import IngestPulls
from ingest.rebuild import IndexKeeper
from ingest.signatures import Verifier
from ingest.source_access import read_verifiers
from ingest.sources import open_intakes
from sinks.access import AccessToken, guard_bind
from sinks.listener import HttpServer, ServerLimits, listen
from sources.intake.store import IndexInUseError, IndexStore, IndexUnusableError
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import log_end
from streams.runtime.heap import freeze_heap, share_arena, trim_heap

_log = logging.getLogger(__name__)

_CONNECTIONS: Final = 800
"""With those that may only ask for health, and those that have no place yet, below the number of open files that a
process may have by default (1,024).
"""


def run_ingest(config: IngestConfig) -> ExitCode:
    """Run until SIGINT or SIGTERM; returns how it ended, which is logged when it is a failure."""
    share_arena()
    try:
        tokens = guard_bind(
            config.host, config.token_file, allow_open=config.allow_open_bind, setting="ingest_token_file"
        )
        verifiers = read_verifiers(config.sources)
        listener = listen(config.host, config.port)
        store = _open_store(config)
    except EvalAlignmentError as error:
        return log_end("ingest", error)
    # Imported objects live as long as the process: no full collection needs to walk them.
    freeze_heap()
    with contextlib.closing(listener), contextlib.nullcontext() if store is None else contextlib.closing(store):
        try:
            asyncio.run(_run(config, listener, tokens, store, verifiers))
        except Exception as error:  # noqa: BLE001 -- every failure of a part ends the process
            return log_end("ingest", error)
    return ExitCode.DONE


def _open_store(config: IngestConfig) -> IndexStore | None:
    """The owner indexes; None for a process without one. Raises IndexInUseError, IndexUnusableError."""
    if config.index_dir is None or not config.sources:
        return None
    try:
        return IndexStore(config.index_dir)
    except (IndexInUseError, IndexUnusableError) as error:
        if any(source.owns for source in config.sources.values()):
            raise
        _log.info("names without a rule are only counted: %s", error)
        return None


async def _run(
    config: IngestConfig,
    listener: socket.socket,
    tokens: Sequence[AccessToken],
    store: IndexStore | None,
    verifiers: Mapping[str, Verifier],
) -> None:
    metrics = IngestMetrics(config.version)
    ProcessCollector(registry=metrics.registry)
    metrics.expect({token.name for token in tokens} or {""}, config.sources)
    publisher = Publisher(config)
    intakes = open_intakes(config, publisher, store, metrics.rejections)
    pulls = IngestPulls(intakes, publisher, metrics)
    keeper = IndexKeeper(config, intakes.values(), metrics)
    server = HttpServer(
        create_app(config, publisher, metrics, tokens, intakes, verifiers=verifiers, pulls=pulls),
        limits=ServerLimits(
            connections=_CONNECTIONS,
            per_address=config.connections_per_address,
            proxies=config.proxy_addresses,
            # Answers have the same budget, so that it refuses requests before a reader is dropped.
            unread_bytes=2 * config.limits.in_flight_bytes,
        ),
        refusals=metrics.refusals,
        keep_alive_s=config.keep_alive_s,
        # A request that is complete needs no longer than the broker may take.
        grace_s=int(config.limits.acknowledge_seconds) + 1,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve([listener]), name="http")
    parts = [
        serving,
        asyncio.create_task(publisher.run(), name="publisher"),
        asyncio.create_task(pulls.run(), name="pulls"),
        asyncio.create_task(keeper.run(), name="owner index"),
        asyncio.create_task(trim_heap(), name="memory"),
        asyncio.create_task(metrics.rejections.run(), name="log of rejections"),
    ]
    stopping = asyncio.create_task(stop.wait(), name="signal")
    _log.info("serving http://%s:%d", *listener.getsockname()[:2])
    try:
        done, _ = await asyncio.wait([*parts, stopping], return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()
        if stopping not in done:
            raise RuntimeError(f"{', '.join(part.get_name() for part in done)} ended unexpectedly")
    finally:
        server.should_exit = True
        # Running requests still need the producer.
        await asyncio.wait([serving])
        await keeper.close()
        for part in (*parts, stopping):
            part.cancel()
        await asyncio.gather(*parts, stopping, return_exceptions=True)
