"""One run of one contender: started, watched from outside until everything is committed, ended, and its counts checked.

Progress is what the group committed. Rate and CPU are taken between two commits: the first one past the first fifth of
the load, which warms up, and the last one before the end, so no start, no idle wait and no last flush is in them. Bytes
are those of the whole run. A second kind of run kills all processes in the middle, and starts them again.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
)

from bench.comparison.contenders import Contender, Place
from bench.comparison.material import PARTITIONS
from bench.comparison.processes import LogBytes, cpu_seconds, disk_bytes, peak_mib
from eval_alignment.local.guarded_process import guard
from streams.kafka.client import KafkaClient
from streams.kafka.topics import TABLE, Topics, apply
from tests.support.kafka import Kafka
from tests.support.processes import wait_until

WARM_UP: Final = 0.2
_KILLED_AT: Final = 0.5
_POLL_SECONDS: Final = 0.1
_END_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 300.0
_ROOT: Final = Path(__file__).resolve().parents[2]
# The first group of a new broker: its coordinator is being made.
_NOT_YET: Final = (CoordinatorLoadInProgressError, GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)
_ENDED: Final = (0, -signal.SIGTERM, 128 + signal.SIGTERM)

Offsets = Mapping[TopicPartition, int]
"""What a group committed of the load, by partition."""


class WrongError(AssertionError):
    """A contender did not come to the counts of the load, or not to the end."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: monotonic seconds, events committed, and what contender and broker used so far."""

    at: float
    committed: int
    cpu: float
    """CPU seconds of the contender."""
    broker_cpu: float
    memory: float
    """The contender's peak, MiB."""
    kafka_bytes: int
    """Bytes appended to topics."""
    disk_bytes: int
    """Bytes that the contender itself wrote to disk."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to. `seconds` is the time between the two commits that it is measured by."""

    events: int
    seconds: float
    rate: float
    cpu_us: float
    broker_us: float
    memory_mib: float
    kafka_bytes: float
    """Bytes appended to topics, per event."""
    disk_bytes: float
    """Bytes that the contender itself wrote to disk, per event."""


@dataclass(frozen=True, slots=True)
class Killed:
    """What came of a `kill -9` of all processes in the middle of a load, and a start right after it."""

    seconds: float | None
    """From the kill until something new was committed of every unfinished partition; None if that never came."""
    problem: str | None
    """What is wrong afterwards; None if the counts are exact."""


class Attempt:
    """The processes of one contender on one broker, started once or more."""

    def __init__(self, contender: Contender, place: Place, broker: Kafka, admin: AIOKafkaAdminClient) -> None:
        self._contender = contender
        self._place = place
        self._broker = broker
        self._admin = admin
        self._ending = contextlib.ExitStack()
        self._commands: Sequence[Sequence[str]] = ()
        self._started: list[subprocess.Popen[bytes]] = []
        self._topics = LogBytes(broker.directory / "data")

    def start(self) -> None:
        """Start its processes."""
        self._commands = self._contender.processes(self._place)
        with self._place.log.open("ab") as output:
            self._started = [self._process(arguments, output) for arguments in self._commands]

    def _process(self, arguments: Sequence[str], output: Any) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=_ROOT,
            env={**os.environ, **self._place.settings},
            start_new_session=True,
        )
        self._ending.callback(_kill, process, guard(process.pid))
        return process

    def kill(self) -> None:
        """`kill -9` of all processes; returns when they are gone."""
        self._ending.close()

    def end(self) -> None:
        """SIGTERM. Raises WrongError when a process does not end as it should."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        codes = [process.wait(_END_SECONDS) for process in self._started]
        if not set(codes) <= set(_ENDED):
            raise WrongError(f"ended with {codes}:\n{self._tail()}")

    async def watch(self, done: Callable[[Offsets], bool]) -> list[Sample]:
        """Look until `done` is true of what is committed, or the contender ended by itself. Raises WrongError."""
        contender, place = self._contender, self._place
        samples: list[Sample] = []
        committed: Offsets = {}
        deadline = time.monotonic() + max(300.0, 10 * place.load.events / contender.rate)
        while True:
            running = [process.pid for process in self._started if process.poll() is None]
            if len(running) < len(self._started):
                if contender.ends and not running:
                    return samples
                raise WrongError(f"{contender.name} ended before everything was committed:\n{self._tail()}")
            with contextlib.suppress(*_NOT_YET):
                committed = await self.committed()
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                samples.append(self._sample(sum(committed.values()), running))
            if done(committed):
                return samples
            if time.monotonic() > deadline:
                count = sum(committed.values())
                raise WrongError(f"{contender.name}: {count} of {place.load.events} are committed:\n{self._tail()}")
            await asyncio.sleep(_POLL_SECONDS)

    def settle(self) -> None:
        """Wait until no process has work left that no commit shows."""
        for command in self._commands:
            wait_until(lambda: not self._contender.busy(command), _SETTLE_SECONDS, "settled")  # noqa: B023 called here

    def _sample(self, committed: int, running: Sequence[int]) -> Sample:
        return Sample(
            time.monotonic(),
            committed,
            sum(map(cpu_seconds, running)),
            cpu_seconds(self._broker.pid or 0),
            sum(map(peak_mib, running)),
            self._topics.appended(),
            sum(map(disk_bytes, running)),
        )

    async def committed(self) -> Offsets:
        """What the group committed of the load."""
        offsets = await self._admin.list_consumer_group_offsets(self._place.group)
        return {tp: max(0, stored.offset) for tp, stored in offsets.items() if tp in self._place.load.ends}

    def everything(self, committed: Offsets) -> bool:
        """Whether the whole load is committed; never of a contender that ends by itself."""
        return sum(committed.values()) == self._place.load.events and not self._contender.ends

    async def check(self) -> None:
        """Raises WrongError when the counts are not those of the load."""
        found = {group: cell for group, cell in (await self._contender.cells(self._place)).items() if any(cell)}
        expected = self._place.load.cells
        if wrong := [group for group in found.keys() | expected if found.get(group) != expected.get(group)]:
            raise WrongError(
                f"{self._contender.name}: {len(wrong)} groups of {len(expected)} are wrong, such as {wrong[0]}"
            )

    def _tail(self) -> str:
        return self._place.log.read_text(errors="replace")[-3000:]


@contextlib.asynccontextmanager
async def _attempt(contender: Contender, place: Place, broker: Kafka) -> AsyncIterator[Attempt]:
    """With its topics, which are removed afterwards, as are its processes and files; its log stays."""
    if contender.logs:
        names = Topics(**{spec.role: place.topic(spec.role) for spec in TABLE})
        await apply(KafkaClient([place.bootstrap]).settings, names, PARTITIONS, 1)
    admin = AIOKafkaAdminClient(bootstrap_servers=place.bootstrap)
    await admin.start()
    attempt = Attempt(contender, place, broker, admin)
    try:
        await _make_changelogs(admin, contender, place)
        attempt.start()
        yield attempt
    finally:
        attempt.kill()
        topics = [topic for topic in await admin.list_topics() if place.group in topic]
        if topics:
            await admin.delete_topics(topics)
        shutil.rmtree(place.state, ignore_errors=True)
        await admin.close()


async def run(contender: Contender, place: Place, broker: Kafka) -> Run:
    """Run it. Raises WrongError when its counts are not those of the load."""
    async with _attempt(contender, place, broker) as attempt:
        samples = await attempt.watch(attempt.everything)
        await asyncio.to_thread(attempt.settle)
        await asyncio.to_thread(attempt.end)
        await attempt.check()
        return measured(samples, place.load.events)


async def run_killed(contender: Contender, place: Place, broker: Kafka) -> Killed:
    """Run it, kill it in the middle, start it again, and look whether it comes to the counts of the load."""
    seconds = None
    try:
        async with _attempt(contender, place, broker) as attempt:
            await attempt.watch(lambda committed: sum(committed.values()) >= _KILLED_AT * place.load.events)
            killed_at = time.monotonic()
            await asyncio.to_thread(attempt.kill)
            before = await attempt.committed()
            if attempt.everything(before):
                raise WrongError("all was committed before it could be killed: the load is too small")
            attempt.start()
            await attempt.watch(lambda committed: _taken_over(before, committed, place.load.ends))
            seconds = time.monotonic() - killed_at
            await attempt.watch(attempt.everything)
            await asyncio.to_thread(attempt.settle)
            await asyncio.to_thread(attempt.end)
            await attempt.check()
    except WrongError as problem:
        return Killed(seconds, str(problem).partition("\n")[0])
    return Killed(seconds, None)


def _taken_over(before: Offsets, committed: Offsets, ends: Offsets) -> bool:
    unfinished = [tp for tp, end in ends.items() if before.get(tp, 0) < end]
    return all(committed.get(tp, 0) > before.get(tp, 0) for tp in unfinished)


async def _make_changelogs(admin: AIOKafkaAdminClient, contender: Contender, place: Place) -> None:
    """Faust makes them itself, and on a new group its agents can crash before it sees them, which loses events."""
    compact = {"cleanup.policy": "compact"}
    names = [f"{place.group}-{table}-changelog" for table in contender.changelogs]
    if names:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=compact) for name in names])


def _kill(process: "subprocess.Popen[bytes]", guarding: "subprocess.Popen[bytes]") -> None:
    # The guard goes first: afterwards the process id may belong to somebody else.
    guarding.kill()
    guarding.communicate()
    process.kill()
    process.wait()


def measured(samples: Sequence[Sample], events: int) -> Run:
    """Between two commits; where the load was too small for two, from the start."""
    commits = [new for old, new in itertools.pairwise(samples) if new.committed > old.committed]
    warm = [sample for sample in commits if WARM_UP * events <= sample.committed < events]
    first, last = (warm[0], warm[-1]) if len(warm) > 1 else (samples[0], samples[-1])
    seconds, done = last.at - first.at, max(1, last.committed - first.committed)
    return Run(
        events,
        seconds,
        done / max(seconds, _POLL_SECONDS),
        (last.cpu - first.cpu) / done * 1e6,
        (last.broker_cpu - first.broker_cpu) / done * 1e6,
        max(sample.memory for sample in samples),
        (samples[-1].kafka_bytes - samples[0].kafka_bytes) / events,
        samples[-1].disk_bytes / events,
    )
