"""The worker: a Faust app with one agent, wired to the engine, as a process with signals and exit codes."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, cast
from urllib.parse import quote

import faust
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager

from aggregator.policy import Policy
from streams.engine.apply import BatchApplier
from streams.engine.audit import Audit
from streams.engine.checkpoint import Checkpoint
from streams.engine.circuit_breaker import CircuitBreaker, CircuitBreakerPolicy
from streams.engine.engine import Engine, guarded
from streams.engine.partition import OwnedPartitions, Progress
from streams.engine.restore import Restore
from streams.engine.watchdog import Watchdog
from streams.events.decoder import Decoder
from streams.kafka import topics as topic_table
from streams.kafka.client import Capabilities, KafkaClient, connect
from streams.kafka.dead_letters import DeadLetterPublisher
from streams.kafka.group import ConsumerGroup
from streams.kafka.topics import Topics
from streams.kafka.transport import BatchConsumer, BatchSchema, BatchTransport
from streams.ledger.log import new_producer, new_reader
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError, end_process, exit_now
from streams.runtime.health import Health
from streams.runtime.heap import trim_heap
from streams.runtime.metrics import WorkerMetrics

_log = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 9.0
END_SECONDS: Final = 2.0
REBALANCE_SECONDS: Final = 30.0
REQUEST_SECONDS: Final = 40.0


def _no_step(step: str) -> None:
    """Nobody watches the steps."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Everything a worker is told.

    `name` is the instance's stable name: a restart under the same name takes its partitions over at once. `security`
    are aiokafka's own arguments. `circuit_breaker` None switches the circuit breaker off, `audit_interval_s` 0 the audit. `release` is for
    the metrics. `on_step` is told every step of restore and checkpoint: a place for tests to kill the process.
    """

    brokers: tuple[str, ...]
    name: str
    group: str = "eval-alignment"
    topics: Topics = field(default_factory=Topics)
    policy: Policy = Policy.EACH
    decoder: Decoder = field(default_factory=Decoder)
    accept_loss: bool = False
    circuit_breaker: CircuitBreakerPolicy | None = field(default_factory=CircuitBreakerPolicy)
    audit_interval_s: float = 60.0
    security: Mapping[str, Any] = field(default_factory=dict)
    release: str = "unknown"
    on_step: Callable[[str], None] = _no_step


class _App(faust.App):
    """A Faust app with the batch transport, without Faust's producer, directories and graceful crashes."""

    client_settings: Mapping[str, Any]

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self, self.client_settings)

    def _create_directories(self) -> None:
        """Nothing of Faust's is kept on disk."""

    async def crash(self, reason: BaseException) -> None:
        """A graceful crash would checkpoint and commit the state that was just declared broken."""
        self._crash(reason)

    def _crash(self, reason: BaseException) -> None:
        # Faust "crashes" services with it while it stops them.
        if not isinstance(reason, asyncio.CancelledError):
            end_process(reason)


class _Tables(TableManager):
    """Faust waits a second for tables to be declared; there are none."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _Boot(faust.app.BootStrategy):
    # The engine writes with its own producer; Faust's would only hold a connection.
    enable_kafka_producer = False
    enable_web = False


class Worker:
    """One worker process. `health` and `metrics` may be read from any thread from the start; `run` blocks.

    Raises nothing for what goes wrong while running: a failure ends the process with its exit code.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.health = Health()
        self._owned = OwnedPartitions()
        self._progress: Progress | None = None
        self._connections: list[Any] = []
        self.metrics = WorkerMetrics(config.release, self._lag)
        self.metrics.recovering.set(1)
        self.metrics.uncommitted.set_function(self._uncommitted)
        self._client = KafkaClient(config.brokers, config.security)

    def run(self) -> ExitCode:
        """Work until SIGTERM or SIGINT; returns `ExitCode.DONE` after the last checkpoint and commit."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            capabilities, counts = loop.run_until_complete(self._look_at_broker())
            app = self._new_app(capabilities)
            engine = loop.run_until_complete(self._wire(app, capabilities, counts))
            loop.run_until_complete(self._serve(app, engine))
        except Exception as error:  # noqa: BLE001 whatever it is, it ends the process
            end_process(error)
        return ExitCode.DONE

    async def _look_at_broker(self) -> tuple[Capabilities, Mapping[str, int]]:
        capabilities = await self._client.probe()
        counts = await topic_table.partition_counts(self._client.settings)
        topic_table.check(self.config.topics, counts)
        return capabilities, counts

    def _new_app(self, capabilities: Capabilities) -> _App:
        config = self.config
        app = _App(
            config.group,
            broker=";".join(f"kafka://{broker}" for broker in config.brokers),
            store="memory://",
            # Both stay the same over restarts: the new process gets the old one's assignment, with its address.
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
        app.client_settings = self._client.settings
        app.boot_strategy = _Boot(app)
        return app

    async def _wire(self, app: _App, capabilities: Capabilities, counts: Mapping[str, int]) -> Engine:
        config = self.config
        app.finalize()
        topics = config.topics
        producer = new_producer(self._client, capabilities)
        # They read at the same time: the restore, the guard for ends, the audit.
        reader, ends_reader, audit_reader = (new_reader(self._client) for _ in range(3))
        self._connections += [producer, reader, ends_reader, audit_reader]
        for connection in self._connections:
            await connect(connection)
        group = ConsumerGroup(app)
        checkpoint = Checkpoint(config.policy, group, self.metrics, config.on_step)
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
            checkpoint=checkpoint,
            metrics=self.metrics,
            on_step=config.on_step,
            owned=self._owned,
        )
        watchdog = Watchdog(topics.facts, self._owned, group, ends_reader, capabilities.exact_ends, self.health)
        audit = Audit(config.policy, config.audit_interval_s, self._owned, producer, audit_reader, self.metrics)
        circuit_breaker = CircuitBreaker(config.circuit_breaker) if config.circuit_breaker is not None else None
        engine = Engine(
            applier=BatchApplier(topics, counts[topics.facts], config.decoder, circuit_breaker, self.metrics),
            dead_letters=DeadLetterPublisher(producer, topics.dead_letters, counts[topics.dead_letters]),
            group=group,
            health=self.health,
            metrics=self.metrics,
            restore=restore,
            checkpoint=checkpoint,
            watchdog=watchdog,
            audit=audit if config.audit_interval_s else None,
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

    async def _serve(self, app: _App, engine: Engine) -> None:
        """Run Faust's worker until a signal comes; then drain, and let Faust end."""
        loop = asyncio.get_running_loop()
        # Logging is ours: at WARN and above, Faust would set the root logger to DEBUG.
        worker = faust.Worker(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
        worker.spinner = None
        worker.install_signal_handlers = lambda: None  # type: ignore[method-assign]
        asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number, asked)
        starting = asyncio.create_task(worker.start())
        waiting = asyncio.create_task(asked.wait())
        giving_back = asyncio.create_task(guarded(trim_heap))
        done, _ = await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
        if waiting not in done:
            starting.result()
            raise FatalError(ExitCode.UNEXPECTED, "Faust stopped by itself")
        loop.call_later(DRAIN_SECONDS, _drain_timed_out)
        await engine.stop()
        _log.info("drained: the last checkpoint is written and committed")
        # Nothing is at stake any more. Faust hangs when it is stopped while joining, aiokafka sometimes too, and a loop
        # that waits for Faust's thread does not even see the time.
        last = threading.Timer(END_SECONDS, self._left_open)
        last.daemon = True
        last.start()
        try:
            await worker.stop()
            starting.cancel()
            giving_back.cancel()
            await self._disconnect()
        except (TimeoutError, KafkaError) as error:
            _log.info("connections were not closed in order: %r", error)
        last.cancel()

    def _left_open(self) -> NoReturn:
        _log.info("connections were not closed within %g s", END_SECONDS)
        exit_now(ExitCode.DONE)

    async def _disconnect(self) -> None:
        for connection in self._connections:
            # aiokafka raises it when a reader is stopped before its own task ran.
            with contextlib.suppress(asyncio.CancelledError):
                await connection.stop()

    def _on_signal(self, number: signal.Signals, asked: asyncio.Event) -> None:
        _log.info("%s: draining", number.name)
        asked.set()

    def _lag(self) -> Iterable[tuple[str, int, int]]:
        return () if self._progress is None else self._progress.lag()

    def _uncommitted(self) -> float:
        return 0 if self._progress is None else self._progress.processed_uncommitted()


def _drain_timed_out() -> None:
    end_process(FatalError(ExitCode.DRAIN_TIMEOUT, f"not drained within {DRAIN_SECONDS:g} s"))
