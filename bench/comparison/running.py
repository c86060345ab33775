"""One run of one contender: started, watched from outside until everything is committed, ended, and its counts checked.

Progress is what the group committed. Rate and CPU are taken between two commits: the first one past the first fifth of
the load, which warms up, and the last one before the end, so no start, no idle wait and no last flush is in them.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
)

from bench.comparison.contenders import Contender, Place
from bench.comparison.material import PARTITIONS
from eval_alignment.local.guarded_process import guard
from streams.kafka.client import KafkaClient
from streams.kafka.topics import TABLE, Topics, apply
from tests.support.kafka import Kafka

WARM_UP: Final = 0.2
_POLL_SECONDS: Final = 0.1
_END_SECONDS: Final = 60.0
_ROOT: Final = Path(__file__).resolve().parents[2]
_TICK: Final = os.sysconf("SC_CLK_TCK")
# The first group of a new broker: its coordinator is being made.
_NOT_YET: Final = (CoordinatorLoadInProgressError, GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)
_ENDED: Final = (0, -signal.SIGTERM, 128 + signal.SIGTERM)


class WrongError(AssertionError):
    """A contender did not come to the counts of the load, or not to the end."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: monotonic seconds, events committed, CPU seconds of contender and broker, the contender's peak MiB."""

    at: float
    committed: int
    cpu: float
    broker_cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to. `seconds` is the time between the two commits that it is measured by."""

    events: int
    seconds: float
    rate: float
    cpu_us: float
    broker_us: float
    memory_mib: float


async def run(contender: Contender, place: Place, broker: Kafka) -> Run:
    """Run it. Raises WrongError when its counts are not those of the load."""
    if contender.logs:
        names = Topics(**{spec.role: place.topic(spec.role) for spec in TABLE})
        await apply(KafkaClient([place.bootstrap]).settings, names, PARTITIONS, 1)
    log = place.log
    admin = AIOKafkaAdminClient(bootstrap_servers=place.bootstrap)
    await admin.start()
    try:
        await _make_changelogs(admin, contender, place)
        with contextlib.ExitStack() as ending, log.open("wb") as output:
            started = [_start(arguments, place, output, ending) for arguments in contender.processes(place)]
            samples = await _watch(contender, place, broker, started, admin)
            await asyncio.to_thread(_end, started, log)
        found = await contender.cells(place)
        found = {group: cell for group, cell in found.items() if any(cell)}
        if found != place.load.cells:
            wrong = [
                group for group in found.keys() | place.load.cells if found.get(group) != place.load.cells.get(group)
            ]
            raise WrongError(
                f"{contender.name}: {len(wrong)} groups of {len(place.load.cells)} are wrong, such as {wrong[0]}"
            )
        return measured(samples, place.load.events)
    finally:
        await _clean(admin, place)
        await admin.close()


async def _make_changelogs(admin: AIOKafkaAdminClient, contender: Contender, place: Place) -> None:
    """Faust makes them itself, and on a new group its agents can crash before it sees them, which loses events."""
    compact = {"cleanup.policy": "compact"}
    names = [f"{place.group}-{table}-changelog" for table in contender.changelogs]
    if names:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=compact) for name in names])


def _start(
    arguments: Sequence[str], place: Place, output: Any, ending: contextlib.ExitStack
) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=_ROOT,
        env={**os.environ, **place.settings},
        start_new_session=True,
    )
    ending.callback(_kill, process, guard(process.pid))
    return process


def _kill(process: "subprocess.Popen[bytes]", guarding: "subprocess.Popen[bytes]") -> None:
    # The guard goes first: afterwards the process id may belong to somebody else.
    guarding.kill()
    guarding.communicate()
    process.kill()
    process.wait()


def _end(started: Sequence["subprocess.Popen[bytes]"], log: Path) -> None:
    for process in started:
        if process.poll() is None:
            process.terminate()
    codes = [process.wait(_END_SECONDS) for process in started]
    if not set(codes) <= set(_ENDED):
        raise WrongError(f"ended with {codes}:\n{_tail(log)}")


async def _watch(
    contender: Contender,
    place: Place,
    broker: Kafka,
    started: Sequence["subprocess.Popen[bytes]"],
    admin: AIOKafkaAdminClient,
) -> list[Sample]:
    samples: list[Sample] = []
    committed, log = 0, place.log
    deadline = time.monotonic() + max(300.0, 10 * place.load.events / contender.rate)
    while True:
        running = [process.pid for process in started if process.poll() is None]
        if len(running) < len(started):
            if contender.ends and not running:
                return samples
            raise WrongError(f"{contender.name} ended before everything was committed:\n{_tail(log)}")
        with contextlib.suppress(*_NOT_YET):
            committed = await _committed(admin, place)
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            samples.append(
                Sample(
                    time.monotonic(),
                    committed,
                    sum(map(cpu_seconds, running)),
                    cpu_seconds(broker.pid or 0),
                    sum(map(peak_mib, running)),
                )
            )
        if committed == place.load.events and not contender.ends:
            return samples
        if time.monotonic() > deadline:
            raise WrongError(f"{contender.name}: {committed} of {place.load.events} are committed:\n{_tail(log)}")
        await asyncio.sleep(_POLL_SECONDS)


async def _committed(admin: AIOKafkaAdminClient, place: Place) -> int:
    offsets = await admin.list_consumer_group_offsets(place.group)
    sources = (place.load.annotations, place.load.evaluations)
    return sum(max(0, told.offset) for tp, told in offsets.items() if tp.topic in sources)


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
    )


async def _clean(admin: AIOKafkaAdminClient, place: Place) -> None:
    """Topics and files of the run go; its log stays until the bench ends."""
    topics = [topic for topic in await admin.list_topics() if place.group in topic]
    if topics:
        await admin.delete_topics(topics)
    shutil.rmtree(place.directory / place.group, ignore_errors=True)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, all threads. Needs /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def peak_mib(pid: int) -> float:
    """The most memory that a process had resident so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
