"""The acts of a soak: each is one fault on a running installation, and returns when the fault is over."""

import asyncio
import contextlib
import logging
import math
import random
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError

from streams.events.reasons import Reason
from tests.faults.load import Load
from tests.faults.supervising import RESTARTED, Supervisor
from tests.integration.streams.rig import Event, Rig
from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.processes import Command

log = logging.getLogger("soak")

PAST_SESSION_SECONDS = 15.0
"""The session is over after 10 s."""
BROKER_DOWN_SECONDS = 5.0, 20.0
STUCK_WITHIN_SECONDS = 15.0
"""After its start: a coordinator that hangs has had its first member by now."""
STUCK = b"No in-memory snapshot for epoch"
"""In the log of Kafka 4.1.1: after `kill -9` a broker may load a coordinator twice at the same time, which then fails
every request until the broker is restarted."""
AFTERMATH_SECONDS = 30.0
"""A worker that slept or waited for the broker notices, and ends or joins again, within this time."""
BURST = 12
"""Bad events of one burst: the circuit breaker opens at 21 in a row, and at 51 of 1,000."""
_AT = 1_780_000_000_000


@dataclass
class Stage:
    """The installation that acts change. No act ends the `spared` processes, so that their memory can be watched."""

    kafka: Kafka
    cluster: Cluster
    rig: Rig
    supervisor: Supervisor[Command]
    names: tuple[str, ...]
    rng: random.Random
    load: Load | None = None
    spared: frozenset[str] = frozenset()
    rejected: dict[bytes, Reason] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    """Workers that an act uses."""
    disturbed_until: float = 0.0
    """Time until which a worker may end by itself, by `time.monotonic`."""

    @contextlib.contextmanager
    def victim(self) -> Iterator[str | None]:
        """A running worker that is not spared, for this act alone; None when no such worker runs."""
        names = sorted(self.supervisor.workers.keys() - self.spared - self.busy)
        name = self.rng.choice(names) if names else None
        with self.engaged(*filter(None, [name])):
            yield name

    @contextlib.contextmanager
    def engaged(self, *names: str) -> Iterator[None]:
        """Keep other acts away from these workers."""
        self.busy.update(names)
        try:
            yield
        finally:
            self.busy.difference_update(names)

    @contextlib.contextmanager
    def disturbed(self) -> Iterator[None]:
        """Workers may end by themselves meanwhile, and for a while afterwards."""
        self.disturbed_until = math.inf
        try:
            yield
        finally:
            self.disturbed_until = time.monotonic() + AFTERMATH_SECONDS


Act = Callable[[Stage], Coroutine[Any, Any, None]]


async def kill_a_worker(stage: Stage) -> None:
    """Row 1."""
    with stage.victim() as name:
        if name is not None:
            away = stage.rng.choice((0.0, 3.0, 15.0))
            log.info("kill -9 of %s, started again after %g s", name, away)
            stage.supervisor.remove(name).kill()
            await asyncio.sleep(away)
            stage.supervisor.add(name)


async def terminate_a_worker(stage: Stage) -> None:
    """Row 2."""
    with stage.victim() as name:
        if name is not None:
            log.info("SIGTERM to %s", name)
            await _terminated(stage, name)
            stage.supervisor.add(name)


async def pause_a_worker(stage: Stage) -> None:
    """Row 4."""
    with stage.victim() as name, stage.disturbed():
        if name is not None:
            log.info("SIGSTOP of %s past its session", name)
            worker = stage.supervisor.workers[name]
            worker.send(signal.SIGSTOP)
            await asyncio.sleep(PAST_SESSION_SECONDS)
            worker.send(signal.SIGCONT)


async def change_the_number_of_workers(stage: Stage) -> None:
    """Row 5."""
    size, running = stage.rng.randint(1, len(stage.names)), sorted(stage.supervisor.workers)
    free = [name for name in stage.names if name not in stage.busy]
    leaving = [name for name in free if name in running and name not in stage.spared][: max(0, len(running) - size)]
    coming = [name for name in free if name not in running][: max(0, size - len(running))]
    log.info("%d workers, stopping %s, starting %s", len(running), leaving or "none", coming or "none")
    with stage.engaged(*leaving, *coming):
        await asyncio.gather(*(_terminated(stage, name) for name in leaving))
        for name in coming:
            stage.supervisor.add(name)


async def restart_the_broker(stage: Stage) -> None:
    """Row 6."""
    killed, down = stage.rng.random() < 0.5, stage.rng.uniform(*BROKER_DOWN_SECONDS)
    log.info("broker %s, away for %.0f s", "kill -9" if killed else "SIGTERM", down)
    with stage.disturbed():
        await asyncio.to_thread(stage.kafka.kill if killed else stage.kafka.stop)
        await asyncio.sleep(down)
        while await _stuck_after_start(stage.kafka):
            # As an operator would do by docs/operations.md.
            log.info("the broker's group coordinator is stuck: restarting the broker")
            await asyncio.to_thread(stage.kafka.stop)


async def _stuck_after_start(kafka: Kafka) -> bool:
    """Start the broker; returns whether its coordinator fails every request."""
    before = kafka.log.stat().st_size
    await asyncio.to_thread(kafka.start)
    end = time.monotonic() + STUCK_WITHIN_SECONDS
    while time.monotonic() < end:
        with kafka.log.open("rb") as written:
            written.seek(before)
            if STUCK in written.read():
                return True
        await asyncio.sleep(1.0)
    return False


async def reset_the_group(stage: Stage) -> None:
    """Row 43: the offsets of the group are moved, as an operator does while no worker runs."""
    names = sorted(stage.supervisor.workers)
    if stage.spared or stage.busy:
        return
    how, by = stage.rng.choice((("to latest", 0), ("to earliest", 0), ("by", 50), ("by", -50)))
    log.info("all workers stopped, and the group reset %s %+d", how, by)
    with stage.engaged(*stage.names), stage.disturbed():
        await asyncio.gather(*(_terminated(stage, name) for name in names))
        await asyncio.sleep(PAST_SESSION_SECONDS)
        try:
            await stage.rig.reset_group(how, by)
        except KafkaError as error:
            # The broker may be away.
            log.info("the group is not reset: %r", error)
        for name in names:
            stage.supervisor.add(name)


async def kill_the_view(stage: Stage) -> None:
    """The view continues from its store."""
    if "view" not in stage.spared:
        log.info("kill -9 of the view")
        stage.cluster.view.kill()
        stage.cluster.view.start()


async def poison(stage: Stage) -> None:
    """Row 10: a burst that does not open the circuit breaker."""
    assert stage.load is not None
    bad = list(_bad(stage.rig, len(stage.rejected)))
    log.info("%d bad events in a row", len(bad))
    stage.rejected.update((event[2] or b"", reason) for event, reason in bad)
    await stage.load.send(event for event, _ in bad)


ACTS: tuple[Act, ...] = (
    kill_a_worker,
    terminate_a_worker,
    pause_a_worker,
    change_the_number_of_workers,
    restart_the_broker,
    reset_the_group,
    kill_the_view,
    poison,
)


async def _terminated(stage: Stage, name: str) -> None:
    """Stop a worker for good. It drains, unless another fault just hit it."""
    until = stage.disturbed_until
    calm = time.monotonic() > until
    code = await asyncio.to_thread(stage.supervisor.remove(name).terminate)
    calm = calm and until == stage.disturbed_until
    assert code == 0 or (code in RESTARTED and not calm), f"{name} ended with {code} after SIGTERM"


def _bad(rig: Rig, first: int) -> Iterator[tuple[Event, Reason]]:
    """Bad events, no two alike, with the reason of each."""
    topic = rig.topics.annotations
    for number in range(first, first + BURST):
        key = b"item-%d" % (number % 97)
        whole = b'{"id":"bad-%d","at":%d,"queue":"support","item":"%s"' % (number, _AT, key)
        ends, reason = (
            (b"", Reason.MALFORMED),
            (b',"stars":9}', Reason.INVALID_FIELD),
            (b',"thumbs":"\xff"}', Reason.MALFORMED),
            (b',"stars":NaN}', Reason.MALFORMED),
        )[number % 4]
        yield (topic, key, whole + ends), reason
