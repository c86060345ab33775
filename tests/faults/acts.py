"""The acts of a soak: each is one fault on a running installation, and returns when the fault is over."""

import asyncio
import contextlib
import hashlib
import itertools
import logging
import math
import random
import shutil
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from streams.events.reasons import Reason
from tests.faults.load import Load
from tests.faults.supervising import RESTARTED, Supervisor
from tests.fuzz.batches import Header, RawBatch, RawRecord, bomb
from tests.integration.streams.rig import Event, Rig
from tests.support.deployments import Cluster
from tests.support.kafka import Kafka
from tests.support.listeners import CONNECTIONS, Listening
from tests.support.processes import Command, get_json, wait_until
from tests.support.raw_batches import RawSender
from tests.support.rocks_stores import damage_positions
from tests.support.secured import SecuredKafka

log = logging.getLogger("soak")

PAST_SESSION_SECONDS = 15.0
"""The session is over after 10 s."""
BROKER_DOWN_SECONDS = 5.0, 20.0
STUCK_WITHIN_SECONDS = 15.0
"""After its start: a coordinator that hangs has had its first member by now."""
STUCK = b"No in-memory snapshot for epoch"
"""In the log of Kafka 4.1.1: after `kill -9` a broker may load a coordinator twice at the same time, which then fails
every request until the broker is restarted."""
HANDLES_SIGNALS_AFTER_SECONDS = 20.0
"""After its start: an interpreter that imports is ended by SIGTERM itself."""
AFTERMATH_SECONDS = 30.0
"""A worker that slept or waited for the broker notices, and ends or joins again, within this time."""
BURST = 12
"""Bad events of one burst. With those of `send_unreadable_records`, they are fewer in a row than the 21 at which the
circuit breaker opens, and than 51 of 1,000."""
BOMB_BYTES = 65 << 20
"""A batch is unpacked up to 64 MiB."""
REFUSED_SECONDS = 120.0
"""A view notices within seconds that it may not read. The broker may be away meanwhile."""
RIGHT_AWAY_SECONDS = 5.0
GIVEN_BACK_SECONDS = 300.0
HEALTH_SECONDS = 15.0
HELD_SECONDS = 60.0
"""A connection without a whole head is closed after 10 s."""
STRANGERS = 60
"""Connections above those that a listener has."""
SILENT = (b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", b"\x16\x03\x01\x02")
_VIEW = "view"
_AT = 1_780_000_000_000
_ODD_HEADERS: tuple[Header, ...] = ((b"\xff\xfe", b"x"), (b"ce_\xff", b"\xff"), (b"", None), (b"trace", b"\xff"))


@dataclass
class Stage:
    """The installation that acts change. No act ends the `spared` processes, so that their memory can be watched."""

    secured: SecuredKafka
    cluster: Cluster
    rig: Rig
    supervisor: Supervisor[Command]
    names: tuple[str, ...]
    rng: random.Random
    load: Load | None = None
    spared: frozenset[str] = frozenset()
    sent: int = 0
    """Records that acts sent in addition to the load, and that are acknowledged."""
    rejected: dict[bytes, Reason] = field(default_factory=dict)
    """The reason of each invalid record, by its `fingerprint`."""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    """Numbers of invalid records: no two are alike."""
    busy: set[str] = field(default_factory=set)
    """Workers that an act uses, and the view."""
    disturbed_until: float = 0.0
    """Time until which a worker may end by itself, by `time.monotonic`."""

    @property
    def kafka(self) -> Kafka:
        """The broker."""
        return self.secured.kafka

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


Act = Callable[[Stage], Coroutine[Any, Any, bool]]
"""Returns whether it happened: there may be nothing to act on, or the broker is away."""


async def kill_a_worker(stage: Stage) -> bool:
    """Row 1."""
    with stage.victim() as name:
        if name is None:
            return False
        away = stage.rng.choice((0.0, 3.0, 15.0))
        log.info("kill -9 of %s, started again after %g s", name, away)
        stage.supervisor.remove(name).kill()
        await asyncio.sleep(away)
        stage.supervisor.add(name)
        return True


async def terminate_a_worker(stage: Stage) -> bool:
    """Row 2."""
    with stage.victim() as name:
        if name is None:
            return False
        log.info("SIGTERM to %s", name)
        await _terminated(stage, name)
        stage.supervisor.add(name)
        return True


async def lose_a_disk(stage: Stage) -> bool:
    """Rows 47 and 49: after `kill -9`, what waits on the worker's disk is gone or damaged, and is read again."""
    with stage.victim() as name:
        if name is None:
            return False
        how = stage.rng.choice(("lost", "damaged"))
        log.info("kill -9 of %s, whose disk is %s", name, how)
        stage.supervisor.remove(name).kill()
        # A worker that has just started has neither.
        with contextlib.suppress(FileNotFoundError):
            (shutil.rmtree if how == "lost" else damage_positions)(stage.cluster.waiting(name))
        stage.supervisor.add(name)
        return True


async def pause_a_worker(stage: Stage) -> bool:
    """Row 4."""
    # A worker that inherits partitions of a paused one may have to end, also a spared one.
    if stage.spared:
        return False
    with stage.victim() as name, stage.disturbed():
        if name is None:
            return False
        log.info("SIGSTOP of %s past its session", name)
        worker = stage.supervisor.workers[name]
        worker.send(signal.SIGSTOP)
        await asyncio.sleep(PAST_SESSION_SECONDS)
        worker.send(signal.SIGCONT)
        return True


async def change_the_number_of_workers(stage: Stage) -> bool:
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
    return True


async def restart_the_broker(stage: Stage) -> bool:
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
    return True


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


async def reset_the_group(stage: Stage) -> bool:
    """Row 43: the offsets of the group are moved, as an operator does while no worker runs."""
    names = sorted(stage.supervisor.workers)
    if stage.spared or stage.busy:
        return False
    how, by = stage.rng.choice((("to latest", 0), ("to earliest", 0), ("by", 50), ("by", -50)))
    log.info("all workers stopped, and the group reset %s %+d", how, by)
    with stage.engaged(*stage.names), stage.disturbed():
        await asyncio.gather(*(_terminated(stage, name) for name in names))
        await asyncio.sleep(PAST_SESSION_SECONDS)
        done = True
        try:
            await stage.rig.reset_group(how, by)
        except KafkaError as error:
            # The broker may be away.
            log.info("the group is not reset: %r", error)
            done = False
        for name in names:
            stage.supervisor.add(name)
    return done


async def kill_the_view(stage: Stage) -> bool:
    """The view continues from its store."""
    if _VIEW in stage.spared | stage.busy:
        return False
    log.info("kill -9 of the view")
    stage.cluster.view.kill()
    stage.cluster.view.start()
    return True


async def send_invalid_events(stage: Stage) -> bool:
    """Row 10: a burst that does not open the circuit breaker."""
    assert stage.load is not None
    bad = list(_bad(stage))
    log.info("%d invalid events in a row", len(bad))
    stage.rejected.update((fingerprint(event[1], event[2]), reason) for event, reason in bad)
    await stage.load.send(event for event, _ in bad)
    stage.sent += len(bad)
    return True


async def send_unreadable_records(stage: Stage) -> bool:
    """Row 27: batches with bytes that no client should send, among them one that unpacks to more than is unpacked."""
    bad = [*_unreadable(stage), await asyncio.to_thread(_bomb, stage)]
    log.info("%d batches with bytes that cannot be read, or are read by nobody", len(bad))
    topic, partitions = stage.rig.topics.annotations, list(range(stage.rig.partitions))
    acknowledged = 0
    try:
        async with RawSender(stage.rig.bootstrap) as sender:
            for key, batch in bad:
                await sender.send(topic, DefaultPartitioner()(key, partitions, partitions), batch)
                acknowledged += 1
    except KafkaError as error:
        # The broker may be away. What it took counts all the same.
        log.info("%d batches are acknowledged: %r", acknowledged, error)
    stage.sent += acknowledged
    return acknowledged == len(bad)


async def hold_connections(stage: Stage) -> bool:
    """Row 41: strangers hold more connections than a listener has, and send nothing, half a head or garbage."""
    names = sorted({_VIEW, *stage.supervisor.workers} - stage.busy)
    if not names:
        return False
    name, sent = stage.rng.choice(names), stage.rng.choice(SILENT)
    with stage.engaged(name):
        process = stage.cluster.view if name == _VIEW else stage.supervisor.workers[name]
        url = stage.cluster.url if name == _VIEW else stage.cluster.worker_urls[name]
        places = CONNECTIONS[_VIEW if name == _VIEW else "worker"]
        log.info("%d connections that send %r are held at %s", places + STRANGERS, sent, name)
        assert process.process is not None
        listener = Listening(name, int(url.rpartition(":")[2]), process.process, process.log)
        try:
            await asyncio.to_thread(_hold, listener, places + STRANGERS, sent)
        except OSError as error:
            # A worker may end by itself after another fault, and listens only some time after its start.
            assert name != _VIEW, "the view listens all the time"
            log.info("%s does not listen: %r", name, error)
            return False
        return True


def _hold(listener: Listening, connections: int, sent: bytes) -> None:
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(connections):
            held.append(stack.enter_context(listener.connect()))
            # The server may have closed it for another one.
            with contextlib.suppress(ConnectionError):
                held[-1].sendall(sent)
        for target in ("/healthz", "/readyz", "/metrics"):
            began = time.monotonic()
            assert listener.status(target) in (200, 503), f"{target} of {listener.name} answers meanwhile"
            assert time.monotonic() - began < HEALTH_SECONDS, f"{target} of {listener.name} answers in time"
        end = time.monotonic() + HELD_SECONDS
        for client in held:
            client.settimeout(max(0.1, end - time.monotonic()))
            with contextlib.suppress(ConnectionError):
                # An answer that the head is invalid, or that it came too late, may precede the end.
                while client.recv(1 << 10):
                    pass


async def take_a_right_of_the_view(stage: Stage) -> bool:
    """Row 33: a right is taken away and given back. Meanwhile the view serves its last state, stale with the reason."""
    topic = stage.cluster.topic(stage.rng.choice(("facts", "tallies")))
    log.info("the view may not read %s", topic)
    if not await asyncio.to_thread(_allowed, stage.secured, topic, remove=True):
        # Nobody knows whether it is taken: it is given back in any case.
        await _given_back(stage.secured, topic)
        return False
    try:
        queues = f"{stage.cluster.url}/api/v1/queues"
        what = f"the view reports that it may not read {topic}"
        await asyncio.to_thread(wait_until, lambda: _refused(stage.cluster), REFUSED_SECONDS, what)
        await asyncio.sleep(RIGHT_AWAY_SECONDS)
        if _VIEW not in stage.busy:
            assert (await asyncio.to_thread(get_json, queues))["stale"], "the last state is served, stale"
    finally:
        await _given_back(stage.secured, topic)
    log.info("the view may read %s again", topic)
    return True


ACTS: tuple[Act, ...] = (
    kill_a_worker,
    terminate_a_worker,
    lose_a_disk,
    pause_a_worker,
    change_the_number_of_workers,
    restart_the_broker,
    reset_the_group,
    kill_the_view,
    send_invalid_events,
    send_unreadable_records,
    hold_connections,
    take_a_right_of_the_view,
)


ENDING: tuple[Act, ...] = (pause_a_worker, reset_the_group)
"""Acts that may end any worker: they do not happen while one is spared."""


async def _terminated(stage: Stage, name: str) -> None:
    """Stop a worker for good. It drains, unless another fault just hit it."""
    until, began = stage.disturbed_until, time.monotonic()
    calm = began > until
    code = await asyncio.to_thread(stage.supervisor.remove(name).terminate)
    calm = calm and until == stage.disturbed_until
    young = began < stage.supervisor.started[name] + HANDLES_SIGNALS_AFTER_SECONDS
    expected = code == 0 or (code in RESTARTED and not calm) or (code == -signal.SIGTERM and young)
    assert expected, f"{name} ended with {code} after SIGTERM"


def fingerprint(key: bytes | None, value: bytes | None) -> bytes:
    """What an invalid record has and no other record."""
    return hashlib.sha256(b"%r" % key + (value or b"")).digest()


def _bad(stage: Stage) -> Iterator[tuple[Event, Reason]]:
    """Bad events, no two alike, with the reason of each."""
    topic = stage.rig.topics.annotations
    for number in itertools.islice(stage.numbers, BURST):
        key = b"item-%d" % (number % 97)
        ends, reason = (
            (b"", Reason.MALFORMED),
            (b',"stars":9}', Reason.INVALID_FIELD),
            (b',"thumbs":"\xff"}', Reason.INVALID_FIELD),
            (b',"stars":NaN}', Reason.INVALID_FIELD),
        )[number % 4]
        yield (topic, key, _event(number, key, ends)), reason


def _event(number: int, key: bytes, ends: bytes = b',"thumbs":"up"}') -> bytes:
    start = b'{"id":"sent-%d","at":%d,"queue":"support","item":"%b","annotator":"sent"' % (number, _AT + number, key)
    return start + ends


def _unreadable(stage: Stage) -> Iterator[tuple[bytes, RawBatch]]:
    """Batches of one record, with the key that chooses its partition. One is valid, and the rejected ones are noted."""
    rng, odd = stage.rng, _ODD_HEADERS
    key = b"item-%d" % rng.randrange(97)
    valid, wrong, unnamed, garbage, alone = (next(stage.numbers) for _ in range(5))
    # The same row each time: the number of rows stays.
    same = RawRecord(b"item-5", _event(valid, b"item-5"), odd)
    yield b"item-5", RawBatch([same], codec=rng.randrange(5))
    for record, reason in (
        (RawRecord(key, _event(wrong, key), [*odd, (b"ce_id", b"\xff")]), Reason.INVALID_FIELD),
        (RawRecord(b"\xff%d" % unnamed, _event(unnamed, key), odd), Reason.KEY_MISMATCH),
        (RawRecord(key, b"\xff\0%d" % garbage, [(b"h", b"")] * 300), Reason.MALFORMED),
        (RawRecord(b"null-%d" % alone, None, odd), Reason.NULL_VALUE),
    ):
        stage.rejected[fingerprint(record.key, record.value)] = reason
        yield key, RawBatch([record], codec=rng.randrange(5))


def _bomb(stage: Stage) -> tuple[bytes, RawBatch]:
    """A batch of some kilobytes that unpacks to `BOMB_BYTES` and some more: no two are alike."""
    size = BOMB_BYTES + next(stage.numbers)
    stage.rejected[fingerprint(b"k", bytes(size))] = Reason.OVERSIZED
    return b"k", bomb(stage.rng.choice((1, 3, 4)), size)


def _refused(cluster: Cluster) -> bool:
    """Whether the view reports that it may not read."""
    try:
        reason = get_json(f"{cluster.url}/readyz")["stale_reason"]
    except OSError:
        return False
    return "refuses to let this view read" in (reason or "")


def _allowed(kafka: SecuredKafka, topic: str, *, remove: bool = False) -> bool:
    """Give or take a right of the view; returns whether the broker did that."""
    try:
        kafka.allow("view", "Read", topic, remove=remove)
    except AssertionError as error:
        log.info("kafka-acls: %s", str(error).strip()[-200:])
        return False
    return True


async def _given_back(kafka: SecuredKafka, topic: str) -> None:
    """Give the right back, once the broker answers."""
    await asyncio.to_thread(wait_until, lambda: _allowed(kafka, topic), GIVEN_BACK_SECONDS, f"{topic} may be read")
