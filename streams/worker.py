"""The worker: a process with signals and exit codes around a Faust app with one agent, which feeds the engine."""

import asyncio
import contextlib
import logging
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, cast
from urllib.parse import quote

import faust
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager

from aggregator.day_tallies import MAX_TALLIES
from aggregator.policy import Policy
from streams.engine.apply import BatchApplier, expect_events
from streams.engine.audit import Audit
from streams.engine.checkpoint import Checkpoint
from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy
from streams.engine.engine import MAX_DIRTY_ROWS, Engine, fail_fast
from streams.engine.ignored_fields import IgnoredFields
from streams.engine.partition import OwnedPartitions
from streams.engine.progress import Progress
from streams.engine.restore import Restore
from streams.engine.topic_watch import TopicWatch
from streams.engine.watchdog import Watchdog
from streams.events.decoder import Decoder
from streams.kafka import topics as topic_table
from streams.kafka.client import Capabilities, KafkaClient, connect
from streams.kafka.dead_letters import DeadLetterPublisher
from streams.kafka.group import ConsumerGroup
from streams.kafka.record_limits import RecordLimits, read_record_limits
from streams.kafka.topic_metadata import describe_topics
from streams.kafka.topics import Topics
from streams.kafka.transport import BatchConsumer, BatchSchema, BatchTransport
from streams.ledger.log import new_producer, new_reader
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError, end_process, exit_now
from streams.runtime.health import Health
from streams.runtime.heap import trim_heap
from streams.runtime.keep import WAIT_DAYS, keep_ms, wait_seconds
from streams.runtime.metrics import WorkerMetrics
from streams.waiting.rebuild import Rebuild, new_rebuild_reader
from streams.waiting.rocks import RocksStore
from streams.waiting.waiting import WaitingEvaluations

_log = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 9.0
"""How long the last checkpoint and commit may take after a signal."""
END_SECONDS: Final = 2.0
"""How long connections may take to close after that."""
REBALANCE_SECONDS: Final = 30.0
"""How long the group waits for a member that finishes its last checkpoint."""
REQUEST_SECONDS: Final = 40.0
"""How long the consumer waits for the broker's reply."""


def _no_step(step: str) -> None:
    """Ignore the steps."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The configuration of a worker."""

    brokers: tuple[str, ...]
    name: str
    """Stable name of the instance: a restart under the same name gets the same partitions without a rebalance."""
    group: str = "eval-alignment"
    topics: Topics = field(default_factory=Topics)
    policy: Policy = Policy.EACH
    decoder: Decoder = field(default_factory=Decoder)
    accept_loss: bool = False
    """Continue although input or ledger were lost."""
    circuit_breaker: CircuitBreakerPolicy | None = field(default_factory=CircuitBreakerPolicy)
    """None turns the circuit breaker off."""
    audit_interval_s: float = 60.0
    """Seconds between two audits; 0 turns them off."""
    security: Mapping[str, Any] = field(default_factory=dict)
    """aiokafka's arguments for SASL and TLS."""
    wait_days: int = WAIT_DAYS
    """How long evaluations wait for their items."""
    waiting_dir: Path = Path("waiting")
    """The directory in which they wait. No other worker uses it."""
    max_tallies: int = MAX_TALLIES
    """Most tallies of a partition; one with more is put in quarantine."""
    release: str = "unknown"
    """The version that the metrics report."""
    on_step: Callable[[str], None] = _no_step
    """Called with the name of each step of restore and checkpoint, so that tests can kill the process there."""


class _Boot(faust.app.BootStrategy):
    # The engine has its own producer; Faust's would only keep a connection open.
    enable_kafka_producer = False
    enable_web = False


class _App(faust.App):
    """A Faust app with the batch transport, without Faust's producer, directories and graceful crashes."""

    BootStrategy = _Boot

    def __init__(self, id: str, client_settings: Mapping[str, Any], read_last: str, **options: Any) -> None:
        super().__init__(id, **options)
        self._client_settings = client_settings
        self._read_last = read_last

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self, self._client_settings, self._read_last)

    def _create_directories(self) -> None:
        """Faust keeps nothing on disk."""

    async def crash(self, reason: BaseException) -> None:
        """End the process: a graceful crash would checkpoint and commit the state that was just found broken."""
        self._crash(reason)

    def _crash(self, reason: BaseException) -> None:
        # Faust also calls it with a cancellation for services that it stops.
        if not isinstance(reason, asyncio.CancelledError):
            end_process(reason)


class _Tables(TableManager):
    """Skips Faust's wait of one second for tables to be declared."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class Worker:
    """One worker process. `run` blocks; `health` and `metrics` may be read from any thread, before `run` too."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self._owned = OwnedPartitions()
        self.health = Health(partitions=self._owned.quarantined, late=self._owned.late)
        self._progress: Progress | None = None
        self._connections: list[Any] = []
        self.metrics = WorkerMetrics(config.release, self._lag)
        expect_events(self.metrics, config.topics)
        self.metrics.recovering.set(1)
        self.metrics.uncommitted.set_function(self._uncommitted)
        self.metrics.foreign_rows.set_function(lambda: self._owned.foreign_rows)
        self.metrics.quarantined.set_function(lambda: len(self.health.quarantined))
        self.metrics.tallies.set_function(lambda: self._owned.tallies)
        self.metrics.tallies_limit.set_function(lambda: self._owned.fullest)
        self.metrics.delayed.set_function(lambda: len(self.health.delayed()))
        self._client = KafkaClient(config.brokers, config.security)

    def run(self) -> ExitCode:
        """Process events until SIGTERM or SIGINT; returns `ExitCode.DONE` after the last checkpoint and commit.

        A failure raises nothing: it ends the process with its exit code.
        """
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            capabilities, counts, limits = loop.run_until_complete(self._probe_broker())
            app = self._new_app(capabilities)
            engine = loop.run_until_complete(self._wire(app, capabilities, counts, limits))
            loop.run_until_complete(self._serve(app, engine))
        except Exception as error:  # noqa: BLE001 -- every failure ends the process
            end_process(error)
        return ExitCode.DONE

    async def _probe_broker(self) -> tuple[Capabilities, Mapping[str, int], RecordLimits]:
        capabilities = await self._client.probe()
        counts = await topic_table.partition_counts(self._client.settings)
        topic_table.check(self.config.topics, counts)
        limits = await read_record_limits(self._client.settings, self.config.topics)
        limits.check(self.config.topics)
        return capabilities, counts, limits

    def _new_app(self, capabilities: Capabilities) -> _App:
        config = self.config
        return _App(
            config.group,
            self._client.settings,
            config.topics.evaluations,
            broker=";".join(f"kafka://{broker}" for broker in config.brokers),
            store="memory://",
            # Both stay the same over restarts, so the new process gets the assignment of the old one.
            consumer_group_instance_id=config.name,
            canonical_url=f"http://worker/{quote(config.name, safe='')}",
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=1 << 20,
            broker_session_timeout=capabilities.session_seconds,
            broker_heartbeat_interval=capabilities.heartbeat_seconds,
            broker_rebalance_timeout=REBALANCE_SECONDS,
            broker_request_timeout=REQUEST_SECONDS,
            broker_commit_interval=1.0,
            stream_buffer_maxsize=512,
            stream_recovery_delay=0.0,
            stream_wait_empty=True,
            topic_disable_leader=True,
            topic_allow_declare=False,
            table_standby_replicas=0,
            TableManager=_Tables,
            web_enabled=False,
            autodiscover=False,
        )

    async def _wire(
        self, app: _App, capabilities: Capabilities, counts: Mapping[str, int], limits: RecordLimits
    ) -> Engine:
        config = self.config
        app.finalize()
        topics = config.topics
        producer = new_producer(self._client, capabilities, limits.batch_bytes)
        # One each for the restore, the watchdog and the audit, which read concurrently.
        reader, ends_reader, audit_reader = (new_reader(self._client) for _ in range(3))
        self._connections += [producer, reader, ends_reader, audit_reader]
        for connection in self._connections:
            await connect(connection)
        group = ConsumerGroup(app)
        decoder = replace(config.decoder, on_unknown_fields=IgnoredFields(topics, self.metrics).report)
        rebuild = await self._new_rebuild(capabilities, counts[topics.evaluations], decoder)
        waiting = rebuild.waiting
        checkpoint = Checkpoint(config.policy, group, self.metrics, config.on_step, self.health, waiting)
        restore = Restore(
            name=config.name,
            topics=topics,
            partitions=counts[topics.facts],
            policy=config.policy,
            accept_loss=config.accept_loss,
            capabilities=capabilities,
            group=group,
            producer=producer,
            reader=reader,
            describe=partial(describe_topics, reader),
            checkpoint=checkpoint,
            metrics=self.metrics,
            on_step=config.on_step,
            owned=self._owned,
            limits=limits,
            waiting=waiting,
            pseudonyms=decoder.pseudonyms.fingerprint if decoder.pseudonyms is not None else "",
            max_tallies=config.max_tallies,
        )
        topic_watch = TopicWatch(topics, counts[topics.facts], self._owned, partial(describe_topics, ends_reader))
        watchdog = Watchdog(topics.facts, self._owned, group, ends_reader, capabilities.exact_ends, self.health)
        audit = Audit(config.policy, config.audit_interval_s, self._owned, producer, audit_reader, self.metrics)
        circuit_breaker = CircuitBreaker(config.circuit_breaker) if config.circuit_breaker is not None else None
        engine = Engine(
            applier=BatchApplier(topics, counts[topics.facts], decoder, circuit_breaker, self.metrics, waiting=waiting),
            dead_letters=DeadLetterPublisher(producer, topics.dead_letters, counts[topics.dead_letters], limits),
            group=group,
            health=self.health,
            metrics=self.metrics,
            restore=restore,
            checkpoint=checkpoint,
            watchdog=watchdog,
            topic_watch=topic_watch,
            audit=audit if config.audit_interval_s else None,
            waiting=waiting,
            rebuild=rebuild,
        )
        self._progress = Progress(self._owned, group)
        consumer = cast("BatchConsumer", app.consumer)
        consumer.before_revocation(engine.wait_empty)

        async def apply(stream: Any) -> None:
            consumer.limit_by(stream.channel.queue)
            async for batches in stream:
                for batch in batches:
                    await engine.apply(batch)

        app.agent(app.topic(*topics.sources, acks=False, schema=BatchSchema()), name="apply")(apply)

        async def restored(*_: Any, **__: Any) -> None:
            await engine.restore()

        app.on_rebalance_complete.connect(restored, weak=False)

        engine.start()
        return engine

    async def _new_rebuild(self, capabilities: Capabilities, partitions: int, decoder: Decoder) -> Rebuild:
        """The waiting evaluations, and what reads them again."""
        config = self.config
        directory = config.waiting_dir
        keep = keep_ms(config.wait_days)
        self.metrics.waiting_wait_seconds.set(wait_seconds(config.wait_days))
        store = RocksStore(
            directory, config.topics.evaluations, partitions, keep_ms=keep, wal=capabilities.topics_in_memory
        )
        store.open()
        if store.away is not None:
            if capabilities.topics_in_memory:
                raise FatalError(ExitCode.UNEXPECTED, f"the store of waiting evaluations cannot be used: {store.away}")
            _log.error("waiting evaluations are not kept until their store can be used: %s", store.away)
        waiting = WaitingEvaluations(
            store=store,
            topic=config.topics.evaluations,
            decoder=decoder,
            keep_ms=keep,
            metrics=self.metrics,
            max_dirty_rows=MAX_DIRTY_ROWS,
            embedded=capabilities.topics_in_memory,
            on_step=config.on_step,
            free_bytes=lambda: shutil.disk_usage(directory).free,
        )
        reader = new_rebuild_reader(self._client)
        await connect(reader)
        self._connections.append(reader)
        rebuild = Rebuild(waiting, reader, lambda: self._owned)
        self.health.rebuilding = rebuild.left
        self.health.waiting = lambda: {"wait_days": config.wait_days, "away": store.away}
        return rebuild

    async def _serve(self, app: _App, engine: Engine) -> None:
        """Run Faust's worker until a signal comes; then drain, and let Faust end."""
        loop = asyncio.get_running_loop()
        # Faust must not configure logging: at WARN and above, it sets the root logger to DEBUG.
        worker = faust.Worker(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
        worker.spinner = None
        worker.install_signal_handlers = lambda: None  # type: ignore[method-assign]
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number, stop)
        starting = asyncio.create_task(worker.start())
        waiting = asyncio.create_task(stop.wait())
        trimming = asyncio.create_task(fail_fast(trim_heap))
        done, _ = await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
        if waiting not in done:
            starting.result()
            raise FatalError(ExitCode.UNEXPECTED, "Faust stopped without a signal")
        loop.call_later(DRAIN_SECONDS, _drain_timed_out)
        await engine.stop()
        _log.info("drained: the last checkpoint is written and committed")
        # All state is written. Faust hangs when it stops while it joins the group, aiokafka sometimes too, and an event
        # loop that waits for Faust's thread runs no timer: a thread ends the process.
        timer = threading.Timer(END_SECONDS, self._leave_open)
        timer.daemon = True
        timer.start()
        try:
            await worker.stop()
            starting.cancel()
            trimming.cancel()
            await self._disconnect()
        except (TimeoutError, KafkaError) as error:
            _log.info("closing connections failed: %r", error)
        timer.cancel()

    def _leave_open(self) -> NoReturn:
        _log.info("connections not closed within %g s", END_SECONDS)
        exit_now(ExitCode.DONE)

    async def _disconnect(self) -> None:
        for connection in self._connections:
            # aiokafka raises it when a reader stops before its own task ran.
            with contextlib.suppress(asyncio.CancelledError):
                await connection.stop()

    def _on_signal(self, number: signal.Signals, stop: asyncio.Event) -> None:
        _log.info("draining after %s", number.name)
        stop.set()

    def _lag(self) -> Iterable[tuple[str, int, int]]:
        return () if self._progress is None else self._progress.lag()

    def _uncommitted(self) -> float:
        return 0 if self._progress is None else self._progress.processed_uncommitted()


def _drain_timed_out() -> None:
    end_process(FatalError(ExitCode.DRAIN_TIMEOUT, f"not drained within {DRAIN_SECONDS:g} s"))
