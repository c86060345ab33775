"""`up`: runs broker, worker, view and ingest as processes on one machine until a signal, then stops them in order."""

import asyncio
import contextlib
import signal
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx
from aiokafka.errors import KafkaError

from aggregator.days import timestamp
from eval_alignment import __version__, kafka_wiring, wiring
from eval_alignment.environment import ENVIRONMENT_PREFIX
from eval_alignment.local import reload
from eval_alignment.local.broker import BrokerError, EmbeddedBroker, PortTakenError, refuse_taken_port
from eval_alignment.local.children import Child
from eval_alignment.local.datadir import EMBEDDED, EXTERNAL, DataDir, DataDirError
from eval_alignment.local.log_files import cap_log
from eval_alignment.local.saved_dead_letters import MAX_BYTES, SavedDeadLetters, SavedDeadLettersError
from eval_alignment.setting_checks import address
from eval_alignment.settings import Settings
from eval_alignment.terminal_text import printable
from ingest.openapi import EVENTS_PATH
from sinks.access import BindError
from sinks.listener import listen
from sinks.page.formats import plural
from sinks.store.damage import StoreDamagedError
from streams.events.example import RejectedExample
from streams.events.rejection_log import RejectionLog
from streams.kafka import topics as topic_table
from streams.kafka.dead_letter_tail import DeadLetterHeaders, DeadLetterTail
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode, codes_without_restart
from streams.runtime.http_client import async_client

READY_SECONDS: Final = 60.0
WORKER_STOP_SECONDS: Final = 15.0
VIEW_STOP_SECONDS: Final = 10.0
INGEST_STOP_SECONDS: Final = 20.0
_PROBE_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 20.0
_QUIET_SECONDS: Final = 1.0
_BACKOFF_SECONDS: Final = (0.5, 10.0)
_LOG_SECONDS: Final = 5.0


class UpError(EvalAlignmentError):
    """The installation cannot run; the message has the reason."""

    exit_code = ExitCode.FAILED


class _BrokerDied(Exception):
    """The embedded broker died, and its topics are lost."""


class Supervisor:
    """One installation on this machine.

    Args:
        settings: of all processes; `brokers` is the address of the broker, also of the embedded one.
        embedded_port: port for the embedded broker; None to use an existing broker.
        say: called with each message for the user.
        on_ready: awaited alongside the processes once everything is ready; cancelled when they end.
    """

    def __init__(
        self,
        settings: Settings,
        embedded_port: int | None,
        say: Callable[[str], None],
        on_ready: Callable[["Supervisor"], Awaitable[None]] | None = None,
    ) -> None:
        self.settings = settings
        self.client = kafka_wiring.client(settings)
        self.topics = kafka_wiring.topics(settings)
        self.worker_http = _free_address(settings, "worker_http")
        self.ingest_http = _free_address(settings, "ingest_http")
        self._embedded_port = embedded_port
        self._say = say
        self._on_ready = on_ready
        self._data = DataDir(settings.data_dir.resolve(), EXTERNAL if embedded_port is None else EMBEDDED)
        self._broker: EmbeddedBroker | None = None
        self._dead_letters = SavedDeadLetters(
            self._data.dead_letters, self.client, self.topics.dead_letters, wiring.acknowledgement_group(settings)
        )
        self._dead_letters_put_back = False
        self._rejections = RejectionLog(report=self._say_rejected)
        self._stop = asyncio.Event()
        self._was_ready = False
        """Whether everything was ready once. Before, what cannot run is an error; later, the other processes go on."""
        environment = {f"{ENVIRONMENT_PREFIX}BROKERS": settings.brokers}
        if settings.log_format == "auto":
            # A person reads these files, and `tail` shows their ends.
            environment[f"{ENVIRONMENT_PREFIX}LOG_FORMAT"] = "text"
        worker = ["worker", "--http", self.worker_http, "--data-dir", str(self._data.path)]
        if "name" not in settings.model_fields_set:
            worker += ["--name", "up"]
        view = ["view", "--data-dir", str(self._data.path), "--http", settings.http]
        ingest = ["ingest", "--http", self.ingest_http]
        logs = self._data.logs
        self._worker = Child("worker", self.worker_http, worker, logs / "worker.log", environment)
        self._view = Child("view", settings.http, view, logs / "view.log", environment)
        self._ingest = Child("ingest", self.ingest_http, ingest, logs / "ingest.log", environment)

    async def run(self) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP. Raises UpError when it cannot run. Leaves no process in either case."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A closed terminal (SIGHUP) stops the installation, unless it was started with nohup.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._stop.set)
        try:
            with self._data.locked() as lock:
                # The view shares it: no other view may use the store, not even when only `up` was killed.
                self._view.inherits = (lock,)
                key = wiring.pseudonyms(self.settings)
                self._data.check_pseudonyms("" if key is None else key.fingerprint)
                self._refuse_taken_addresses()
                broker = "" if self._embedded_port is None else "broker, "
                self._say(f"Starting {broker}worker, view and ingest. This takes about ten seconds.")
                while True:
                    with contextlib.suppress(_BrokerDied):
                        await self._once()
                        return
                    self._say("The embedded broker died, and its topics are lost. Restarting everything.")
        except (DataDirError, BrokerError, SavedDeadLettersError, topic_table.TopicsError) as error:
            raise UpError(str(error)) from error
        except (KafkaError, TimeoutError) as error:
            raise UpError(f"{self.settings.brokers}: {error!r}") from error
        except OSError as error:
            raise UpError(f"cannot run: {self._data.explained(error)}") from error

    async def _once(self) -> None:
        parts: list[asyncio.Task[None]] = []
        try:
            await self._start_broker()
            await topic_table.apply(
                self.client.settings,
                self.topics,
                wiring.partitions(self.settings),
                self.settings.replication_factor,
                self.settings.wait_days,
            )
            await self._put_back_dead_letters()
            aside = self._set_aside()
            parts = [asyncio.create_task(self._keep(child)) for child in (self._worker, self._view, self._ingest)]
            parts.append(asyncio.create_task(self._watch_broker()))
            parts.append(asyncio.create_task(self._watch_dead_letters()))
            parts.append(asyncio.create_task(self._rejections.run()))
            parts.append(asyncio.create_task(self._bound_logs()))
            parts.append(asyncio.create_task(self._begin(aside)))
            stopping = asyncio.create_task(self._stop.wait())
            pending: set[asyncio.Task[object]] = {*parts, stopping}
            while stopping in pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for part in done:
                    part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await self._end()

    # ---- starting

    def _refuse_taken_addresses(self) -> None:
        """Raise UpError with every address that cannot be used, while nothing has started."""
        problems: list[str] = []
        if self._embedded_port is not None:
            try:
                refuse_taken_port(self._embedded_port)
            except PortTakenError as error:
                problems.append(str(error))
        for http, choice in (
            (self.settings.http, "--http"),
            (self.ingest_http, "--ingest-http"),
            (self.worker_http, "the setting worker_http"),
        ):
            try:
                listen(*address(http)).close()
            except BindError as error:
                problems.append(f"{error}; choose another address with {choice}")
        if problems:
            raise UpError("\n".join(problems))

    async def _start_broker(self) -> None:
        if self._embedded_port is None:
            return
        self._broker = EmbeddedBroker(self._embedded_port, log=self._data.logs / "broker.log")
        delay, longest = _BACKOFF_SECONDS
        while True:
            try:
                self._broker.start()
            except PortTakenError as error:
                if not self._was_ready or self._stop.is_set():
                    raise
                self._say(f"The embedded broker {error}. Trying again in {delay:g} s.")
            else:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stop.wait()
            delay = min(2 * delay, longest)

    async def _put_back_dead_letters(self) -> None:
        self._dead_letters_put_back = False
        if self._broker is not None and (count := await self._dead_letters.put_back()):
            self._say(f"Put back {count} dead letters of the last run.")
        self._dead_letters_put_back = True

    def _set_aside(self) -> list[Path]:
        """Stores of earlier runs whose rows must be loaded again. Logs which events may be missing."""
        if self._broker is None:
            return []
        if self._data.store.exists() and not self._data.stopped_cleanly:
            self._say_coverage()
        self._data.set_aside()
        self._data.started()
        return self._data.aside

    def _say_coverage(self) -> None:
        try:
            until, missing = reload.coverage(self._data.store)
        except StoreDamagedError as error:
            self._say(f"The last stop was not clean: recent events may be missing. {error}.")
        else:
            since = "then" if until is None else f"after {timestamp(until)}"
            more = f", and at least {missing} before that" if missing else ""
            self._say(f"The last stop was not clean: events accepted {since} may be missing{more}.")

    async def _begin(self, aside: list[Path]) -> None:
        """Wait until the processes are ready, load the rows of earlier runs, then await `on_ready`."""
        # Without the proxies of the environment: all processes are on this machine.
        async with async_client("http://127.0.0.1", timeout=_PROBE_SECONDS) as client:
            await asyncio.gather(
                *(self._wait_ready(client, child) for child in (self._worker, self._view, self._ingest))
            )
        if aside:
            count, ends, damaged = await reload.reload(self.client, self.topics, aside)
            if not await reload.reached(self._data.store, ends, READY_SECONDS + count / 1000):
                raise UpError("loading the rows of the last run took too long; they are kept, so start again")
            await reload.take_over_history(self._data.store, aside[0], self.settings)
            kept = [self._data.keep_damaged(store) for store in damaged]
            self._data.reloaded([store for store in aside if store not in damaged])
            self._say(f"Loaded {count} rows of the last run.")
            for store in kept:
                self._say(
                    f"ERROR: its store was damaged, and other rows of it could not be read. It is kept as {store}: "
                    "load these events again, or try `sqlite3 FILE .recover`. Check the disk."
                )
        self._was_ready = True
        self._print_addresses()
        if self._on_ready is not None:
            await self._on_ready(self)

    async def _wait_ready(self, client: httpx.AsyncClient, child: Child) -> None:
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while not await _is_ready(client, child.http):
            # Later, `_keep` restarts it until it runs: the other processes go on.
            if not self._was_ready and asyncio.get_running_loop().time() > deadline:
                raise UpError(
                    f"the {child.name} is not ready after {READY_SECONDS:g} s; see its log in {self._data.logs}"
                )
            await asyncio.sleep(0.1)

    def _print_addresses(self) -> None:
        kind = "" if self._broker is None else " (embedded, topics in memory)"
        self._say(f"Eval Alignment {__version__} is ready. Press Ctrl-C to stop it.")
        self._say(f"  page     http://{self.settings.http}/")
        self._say(f"  API      http://{self.settings.http}/api/v1/queues")
        default = self.settings.ingest_http
        in_use = "" if self.ingest_http == default else f" (another program listens on {default})"
        self._say(f"  events   POST http://{self.ingest_http}{EVENTS_PATH}{in_use}")
        metrics = (self.settings.http, self.worker_http, self.ingest_http)
        self._say(f"  metrics  {'  '.join(f'http://{http}/metrics' for http in metrics)}")
        self._say(f"  broker   {self.settings.brokers}{kind}")
        self._say(f"  data     {self._data.path}")
        self._say(f"  load     eval-alignment load --broker {self.settings.brokers} FILE.ndjson")

    # ---- watching

    async def _keep(self, child: Child) -> None:
        """Run a process and restart it whenever it ends. Raises UpError when a restart cannot help."""
        delay, longest = _BACKOFF_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            ended = await self._run_to_end(child)
            if loop.time() - started > longest:
                delay = _BACKOFF_SECONDS[0]
            self._say(f"The {child.name} {ended}. Restarting it in {delay:g} s.")
            await asyncio.sleep(delay)
            delay = min(2 * delay, longest)

    async def _run_to_end(self, child: Child) -> str:
        """Run a process to its end; returns how it ended. Raises UpError when a restart cannot help.

        Once everything was ready, a disk that is full, gone or read-only may help later: the other processes go on,
        because events of that time are nowhere but in the memory of the embedded broker.
        """
        try:
            await child.start()
        except OSError as error:
            # Most often, its log cannot be opened.
            if not self._was_ready:
                raise
            return f"cannot be started: {self._data.explained(error)}"
        code = await child.wait()
        if code == ExitCode.STORE_UNUSABLE.code and self._was_ready:
            return f"ended with exit code {code}: {printable(child.tail(1))}"
        if code in codes_without_restart(child.name):
            raise UpError(f"the {child.name} cannot run (exit code {code}):\n{child.tail()}")
        taken = code == ExitCode.ADDRESS_IN_USE.code
        return f"ended with exit code {code}" + (f": another program listens on {child.http}" if taken else "")

    async def _watch_broker(self) -> None:
        if self._broker is None:
            return
        while self._broker.poll() is None:  # noqa: ASYNC110 -- a process that threads may start and end
            await asyncio.sleep(0.25)
        raise _BrokerDied

    async def _bound_logs(self) -> None:
        while True:
            # A disk that does not answer now may answer later.
            with contextlib.suppress(OSError):
                for log in self._data.logs.glob("*.log"):
                    await asyncio.to_thread(cap_log, log)
            await asyncio.sleep(_LOG_SECONDS)

    async def _watch_dead_letters(self) -> None:
        """Say which events are rejected from now on."""
        started = time.time_ns() // 1_000_000

        def note(event: DeadLetterHeaders) -> None:
            place, reason, detail = (printable(text) for text in (event.place, event.reason, event.detail))
            self._rejections.note(printable(event.origin), 1, RejectedExample(place, reason, detail, ""))

        tail = DeadLetterTail(
            self.client.settings, self.topics.dead_letters, note, lambda: started, "rejected events are not shown here"
        )
        await tail.run()

    def _say_rejected(self, origin: str, events: int, example: RejectedExample) -> None:
        counted = plural(events, "event")
        shown = f"{example.reason}, for example {example.place}: {example.detail}"
        self._say(f"{counted} of {origin} rejected: {shown}. See http://{self.settings.http}/reasons#{example.reason}")

    # ---- ending

    async def _end(self) -> None:
        """Stop ingest, the worker after a last checkpoint, the view once it has read that, then the broker."""
        # Without its broker it would only wait for it.
        has_broker = self._broker is None or self._broker.pid is not None
        await self._ingest.stop(INGEST_STOP_SECONDS if has_broker else 0)
        if self._broker is None:
            await asyncio.gather(self._worker.stop(WORKER_STOP_SECONDS), self._view.stop(VIEW_STOP_SECONDS))
            return
        clean = False
        with contextlib.suppress(KafkaError, EvalAlignmentError, sqlite3.Error, OSError):
            clean = self._stop.is_set() and self._broker.pid is not None and await self._drain()
        # Nor does a worker end in order without it.
        await self._worker.stop(WORKER_STOP_SECONDS if self._broker.pid is not None else 0)
        await self._save_dead_letters()
        await self._view.stop(VIEW_STOP_SECONDS)
        await asyncio.to_thread(self._broker.stop)
        if clean:
            self._note_clean_stop()
        elif self._stop.is_set():
            self._say("This stop was not clean: the most recent events may be missing at the next start.")

    def _note_clean_stop(self) -> None:
        try:
            self._data.stopped()
        except OSError as error:
            self._say(f"This stop was clean, but the next start will not know that: {error}")

    async def _save_dead_letters(self) -> None:
        """Save them, unless the topic lacks those of the last run."""
        if self._broker is None or self._broker.pid is None or not self._dead_letters_put_back:
            return
        try:
            if left_out := await self._dead_letters.save(time.time_ns() // 1_000_000):
                self._say(f"{left_out} old dead letters are not kept: the newest fill {MAX_BYTES >> 20} MiB.")
        except (KafkaError, EvalAlignmentError, OSError) as error:
            self._say(f"The dead letters of this run are not kept: {error!r}")

    async def _drain(self) -> bool:
        """Stop the worker after its last checkpoint; returns whether the store has all events of the broker."""
        if not self._data.store.exists() or self._data.aside:
            return False
        await reload.quiet(self._data.store, _QUIET_SECONDS, _DRAIN_SECONDS)
        if await self._worker.stop(WORKER_STOP_SECONDS) != 0:
            return False
        ends = await reload.source_ends(self.client, self.topics)
        return await reload.reached(self._data.store, ends, _DRAIN_SECONDS)


def _free_address(settings: Settings, field: str) -> str:
    """The address in a setting; a free port when the setting has its default, and that port is in use."""
    chosen: str = getattr(settings, field)
    if field in settings.model_fields_set:
        return chosen
    host, port = address(chosen)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
    return f"{host}:{port}"


async def _is_ready(client: httpx.AsyncClient, http: str) -> bool:
    try:
        return (await client.get(f"http://{http}/readyz")).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
