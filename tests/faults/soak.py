"""Row 20: hours of mixed faults on a real Apache Kafka, in an order and with choices of one seed.

    python -m tests.faults.soak [--minutes 120] [--seed N] [--write docs/reliability.md]

Real workers and a real view run under a steady load that corrects, deletes and repeats. At quiet points the load
pauses, and everything is judged. The seed decides the order of faults; their timing depends on the machine.
"""

import argparse
import asyncio
import contextlib
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from aiokafka import TopicPartition

from streams.events.reasons import Reason
from streams.runtime.exit_codes import ExitCode
from tests.faults.acts import ACTS, ENDING, Act, Stage, fingerprint
from tests.faults.judging import records, rig_of
from tests.faults.lives import Lives, growing, sample
from tests.faults.load import Load, endless, with_waiting
from tests.faults.supervising import Supervisor
from tests.support.deployments import Cluster
from tests.support.exposition import series, total
from tests.support.processes import Command, get, get_json, ready, wait_until
from tests.support.reliability import machine, write_soak
from tests.support.secured import SecuredKafka
from tests.support.verdict import Judge, Verdict, rejected_place
from tests.support.wire import Place

NAMES = ("w1", "w2", "w3", "w4")
PER_SECOND = 300
ITEMS = 400
"""Few enough that every row exists after some minutes: from then on the number of rows is constant."""
ADVANCE_MS = 30 * 60_000
STRETCH_SECONDS = 240.0
GAP_SECONDS = 20.0, 60.0
AT_ONCE = 0.2
"""Share of acts that begin while the one before still runs."""
QUIET_SECONDS = 30.0
SAMPLE_SECONDS = 5.0
CHECKPOINT_SECONDS = 2.0
"""A worker that merged rows has written them by then."""
EXPECTED = {ending.code for ending in (ExitCode.BROKER_LOST, ExitCode.ANOTHER_WRITER)}
"""How a worker may end by itself after the broker or the worker was away."""
SPARED_AFTER = 1 / 3
"""Of the run: from then on one worker and the view are spared, and their memory is watched. No worker is paused then:
a worker that inherits partitions of a paused one may have to end as well. Nor is the group reset, which no worker may
be in then."""

log = logging.getLogger("soak")

Offsets = dict[TopicPartition, int]


class Soak:
    """One run."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self.stage = stage
        self.lives = Lives()
        self.acted: Counter[str] = Counter()
        self.quiet: list[float] = []
        self.verdict: Verdict | None = None
        self._seconds = seconds
        facts = endless(stage.rng.randrange(1_000_000), ITEMS, advance_ms=ADVANCE_MS)
        self._facts = with_waiting(facts, random.Random(stage.rng.randrange(1_000_000)))
        self._judge = Judge()
        self._since: Offsets = {}
        self._again: list[Act] = []
        self._dead_letters: dict[Place, Reason] = {}
        self._rejected: dict[Place, Reason] = {}
        self._sent = 0
        self._began = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._began + self._seconds - time.monotonic()

    async def run(self) -> None:
        """Stretches of load and faults, each followed by a verdict."""
        acts = self._acts()
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(self._sample())
            while self.left > 0:
                await self._stretch(acts, min(STRETCH_SECONDS, self.left))
                await self._at_rest()
            sampling.cancel()

    def _acts(self) -> Iterator[Act]:
        """All acts in random order, repeatedly. Those that end any worker come first, while they may."""
        others, rng = [act for act in ACTS if act not in ENDING], self.stage.rng
        while True:
            ending = () if self.stage.spared else rng.sample(ENDING, len(ENDING))
            for act in (*ending, *rng.sample(others, len(others))):
                while self._again and not self.stage.spared:
                    yield self._again.pop()
                if self.left < (1 - SPARED_AFTER) * self._seconds:
                    self._spare(NAMES[0])
                yield act

    def _spare(self, name: str) -> None:
        """From now on no act ends this worker or the view."""
        stage = self.stage
        stage.spared = frozenset({name, "view"})
        if name not in stage.supervisor.workers and name not in stage.busy:
            log.info("%s is started to be watched", name)
            stage.supervisor.add(name)

    async def _stretch(self, acts: Iterator[Act], seconds: float) -> None:
        rng, end = self.stage.rng, time.monotonic() + seconds
        async with Load(self.stage.rig, PER_SECOND, facts=self._facts) as load, asyncio.TaskGroup() as group:
            self.stage.load = load
            while (now := time.monotonic()) < end:
                task = group.create_task(self._act(next(acts)))
                gap = rng.uniform(*GAP_SECONDS)
                if rng.random() >= AT_ONCE:
                    await asyncio.wait([task])
                await asyncio.sleep(max(0.0, min(now + gap, end) - time.monotonic()))
        self._sent += load.sent

    async def _act(self, act: Act) -> None:
        if await act(self.stage):
            self.acted[act.__name__] += 1
        elif act in ENDING:
            self._again.append(act)

    async def _sample(self) -> None:
        while True:
            self.lives.look(self._running(), time.monotonic())
            await asyncio.sleep(SAMPLE_SECONDS)

    def _running(self) -> dict[str, int]:
        """Process ids of workers and view by name."""
        running = {**self.stage.supervisor.workers, "view": self.stage.cluster.view}
        return {name: each.process.pid for name, each in running.items() if each.process is not None}

    # ---- what must hold

    async def _at_rest(self) -> None:
        """While the load pauses, everything is committed, and all counts of Kafka and of the view equal the recount."""
        stage, began = self.stage, time.monotonic()
        stage.supervisor.check()
        await stage.rig.settled(QUIET_SECONDS)
        await self._merged()
        self.quiet.append(time.monotonic() - began)
        topics = await records(stage.rig, self._since, stage.kafka.directory / "data")
        verdict = self.verdict = await asyncio.to_thread(self._judge.read, topics)
        # More after a fault of the broker: a request that was written and not answered is sent again.
        assert verdict.events >= self._sent + stage.sent, "every event that was sent is in the topics"
        self._dead_letters |= {
            rejected_place(letter): Reason(dict(letter.headers)["alignment-reason"].decode())
            for letter in topics.dead_letters
        }
        for _, record in topics.sources:
            if (reason := stage.rejected.get(fingerprint(record.key, record.value))) is not None:
                self._rejected[Place(record.topic, record.partition, record.offset)] = reason
        assert self._dead_letters == self._rejected, "the dead letters are the invalid records, each with its reason"
        await asyncio.to_thread(self._processes, verdict)
        log.info(
            "quiet after %.1f s: %d events, %d rows, %d states counted, %d dead letters, difference 0; MB: %s",
            self.quiet[-1],
            verdict.events,
            verdict.rows,
            verdict.states,
            verdict.rejected,
            ", ".join(
                f"{name} {taken.resident / 1e6:.0f}"
                for name, pid in sorted(self._running().items())
                if (taken := sample(pid, time.monotonic())) is not None
            ),
        )

    async def _merged(self) -> None:
        """Return when no worker has waiting evaluations to read again or to look up, and their rows are written."""
        rig, ends = self.stage.rig, dict[TopicPartition, int]()

        async def merged() -> bool:
            return not any([await asyncio.to_thread(self._unmerged, name) for name in self.stage.supervisor.workers])

        async def written() -> bool:
            nonlocal ends
            await asyncio.sleep(CHECKPOINT_SECONDS)
            before, ends = ends, await rig.ends(rig.topics.facts)
            return ends == before

        await rig.until("no waiting evaluations are left to be read again", merged, QUIET_SECONDS)
        await rig.until("the ledger does not grow", written, QUIET_SECONDS)

    def _unmerged(self, name: str) -> bool:
        """Whether a worker has waiting evaluations to read again or to look up, or does not answer."""
        url = self.stage.cluster.worker_urls[name]
        try:
            state, metrics = get(f"{url}/readyz"), get(f"{url}/metrics")
        except OSError:
            return True
        owed = total(series(metrics.body.decode()), "eval_alignment_waiting_owed_items")
        return state.status != 200 or bool(state.json()["rebuilding"] or owed)

    def _processes(self, verdict: Verdict) -> None:
        """The view shows the counts, and the running processes are ready."""
        cluster = self.stage.cluster
        assert cluster.view.running, f"the view ended:\n{cluster.view.text()[-3000:]}"
        for queue in verdict.annotations:
            wanted = verdict.annotations[queue], verdict.comparisons[queue]
            wait_until(lambda q=queue, w=wanted: _cards(cluster, q) == w, QUIET_SECONDS, f"{queue} shows {wanted}")  # type: ignore[misc]
        wait_until(lambda: not get_json(f"{cluster.url}/api/v1/queues")["stale"], QUIET_SECONDS, "the view is fresh")
        for name in self.stage.supervisor.workers:
            url = cluster.worker_urls[name]
            wait_until(lambda u=url: ready(u), QUIET_SECONDS, f"{name} is ready")  # type: ignore[misc]
            samples = series(get(f"{url}/metrics").body.decode())
            assert (
                total(samples, "eval_alignment_audit_mismatches")
                == total(samples, "eval_alignment_circuit_breaker_open")
                == 0
            ), name

    def judged(self) -> list[str]:
        """The measurements. Fails when memory or descriptors grew, or a log has an unexpected line."""
        assert not (grown := growing(self.lives.longest())), f"growing: {'; '.join(map(str, grown))}"
        assert "Traceback" not in self.stage.cluster.view.text(), self.stage.cluster.view.log
        assert self.verdict is not None
        endings = Counter(self.stage.supervisor.endings)
        assert endings.keys() <= EXPECTED, f"exit codes {dict(endings)}"
        lines = [", ".join(f"{count} x {name.replace('_', ' ')}" for name, count in sorted(self.acted.items()))]
        lines.append(
            f"restarted after exit codes {dict(sorted(endings.items()))}" if endings else "none ended by itself"
        )
        lines.append(
            f"{self.verdict.events} events, {self.verdict.rejected} dead letters, {self.verdict.states} published "
            f"states counted at {len(self.quiet)} quiet points, difference 0"
        )
        lines.append(f"committed = end after {max(self.quiet):.1f} s at most")
        lines += [f"{life}{'' if life.judged else ' (too short to be judged)'}" for life in self.lives.longest()]
        return lines


def _cards(cluster: Cluster, queue: str) -> tuple[int, int] | None:
    document = cluster.document(queue)
    return None if document is None else (document["cards"]["annotations"], document["cards"]["comparisons"])


async def soak(minutes: float, seed: int, directory: Path) -> tuple[list[str], list[str]]:
    """A whole run: its measurements, and what it lacks to be row 20. Raises AssertionError for any failure."""
    with SecuredKafka(directory / "broker", {"view": "of-the-view"}, brief=False) as kafka:
        cluster = Cluster(kafka.plain, "soak.", directory, workers=NAMES, view=kafka.environment("view"))
        try:
            await asyncio.to_thread(cluster.create_topics)
            read = [cluster.topic(role) for role in ("facts", "tallies", "dead-letters")]
            await asyncio.to_thread(kafka.allow, "view", "Read", *read)
            await asyncio.to_thread(kafka.allow, "view", "Write", cluster.topic("snapshots"))
            cluster.view.start()

            def start(name: str) -> Command:
                return cluster.workers[name].start()

            async with Supervisor(start, NAMES[:2]) as supervisor:
                stage = Stage(kafka, cluster, rig_of(cluster), supervisor, NAMES, random.Random(seed))
                for name in NAMES[:2]:
                    await asyncio.to_thread(cluster.workers[name].wait_ready, cluster.worker_urls[name])
                run = Soak(stage, minutes * 60)
                await run.run()
                watched = {life.name for life in run.lives.longest() if life.judged}
                lacking = [
                    *(f"{name} was not watched for half an hour" for name in (NAMES[0], "view") if name not in watched),
                    *(f"{act.__name__} did not happen" for act in ACTS if act.__name__ not in run.acted),
                ]
                return run.judged(), lacking
        finally:
            await asyncio.to_thread(cluster.stop)


def main() -> int:
    """Run the command; returns 0 when everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--write", type=Path, help="put row 20 into this file when it was whole")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    # The load's producer retries while the broker is away, and logs every attempt.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    command = f"make soak MINUTES={options.minutes:g} SEED={options.seed}"
    print(f"{command}\nlogs: {directory}", flush=True)
    try:
        lines, lacking = asyncio.run(soak(options.minutes, options.seed, directory))
    except Exception:
        print(f"it did not hold; logs: {directory}; once more: {command}", file=sys.stderr, flush=True)
        raise
    for line in (*machine(), *lines):
        print(line)
    if lacking:
        print(f"everything held, but this is no row 20: {', '.join(lacking)}")
    elif options.write is not None:
        write_soak(options.write, [f"{options.minutes:g} minutes, seed {options.seed}", *lines])
    with contextlib.suppress(OSError):
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
