"""The table of checks, and running them: concurrently, each with a time limit, independent of each other."""

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from aiokafka.errors import KafkaError

from aggregator.facts import Fact
from eval_alignment import __version__
from eval_alignment.doctor import broker, contents, counting, monitoring, processes, progress, sources
from eval_alignment.doctor.disk import judge_disk, observe_disk
from eval_alignment.doctor.findings import Finding, failed, not_run, ordered, skipped
from eval_alignment.doctor.http import Answer
from eval_alignment.doctor.target import BlockedError, Target
from eval_alignment.doctor.waiting import judge_waiting
from eval_alignment.ledger_export import LedgerError, last_markers
from streams.events.example import RejectedExample
from streams.kafka import topics
from streams.kafka.batches import CorruptPartitionError
from streams.kafka.peek import peek
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import exit_code_of

_log = logging.getLogger(__name__)

_Observed = TypeVar("_Observed")

_PEEK_SECONDS: Final = 8.0
_OFFENDERS: Final = 3
"""Most events that are shown of those that an open circuit breaker holds back."""


class Observations:
    """Observations of an installation. Each part is observed once, however many checks need it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def _once(self, name: str, observe: Callable[[], Coroutine[Any, Any, _Observed]]) -> _Observed:
        task: asyncio.Task[_Observed] | None = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(observe())
        # A check that exceeds its time must not cancel the observation for the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel unfinished observations."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def reached(self) -> list[broker.Reached]:
        """The broker's addresses."""
        return await self._once("reached", lambda: broker.reach(self.target))

    async def described(self) -> broker.Described:
        """Topics. Raises BlockedError when no broker can be reached."""
        if all(reached.problem for reached in await self.reached()):
            raise BlockedError("no broker can be reached: see broker")
        return await self._once("described", lambda: broker.describe(self.target))

    async def partitions(self) -> int:
        """Number of partitions. Raises BlockedError when the topics are missing or differ."""
        try:
            return topics.check(self.target.topics, (await self.described()).counts)
        except topics.TopicsError as error:
            raise BlockedError("topics are missing or differ in partitions: see topics") from error

    async def samples(self) -> list[progress.OffsetSample]:
        """One or two samples of the source offsets."""
        partitions = await self.partitions()
        return await self._once("samples", lambda: progress.sample(self.target, partitions))

    async def records(self) -> list[sources.SampledRecord]:
        """The last records of the sources."""
        partitions = await self.partitions()
        return await self._once("records", lambda: sources.sample_sources(self.target, partitions))

    async def facts(self) -> list[Fact]:
        """The valid ones of the last records."""
        return [record.fact for record in await self.records() if record.fact is not None]

    async def markers(self) -> progress.LastMarkers:
        """The last checkpoint marker of each partition."""
        await self.partitions()
        return await self._once("markers", lambda: last_markers(self.target.client, self.target.topics))

    async def workers(self) -> list[processes.Process]:
        """Every worker whose address was given."""
        urls = self.target.workers
        return list(await asyncio.gather(*(self._process(url, self.target.token) for url in urls)))

    async def view(self) -> processes.Process:
        """The view."""
        return await self._process(self.target.view, self.target.token)

    async def ingests(self) -> list[processes.Process]:
        """Every ingest that answers, and those that do not but should."""
        token, expected = self.target.ingest_token, self.target.ingest_expected
        observed = await asyncio.gather(*(self._process(url, token) for url in self.target.ingests))
        return [process for process in observed if expected or process.health.status]

    async def all_processes(self) -> list[processes.Process]:
        """All processes: workers, view, ingest."""
        return [*await self.workers(), await self.view(), *await self.ingests()]

    async def _process(self, url: str, token: bytes | None) -> processes.Process:
        return await self._once(f"process {url}", lambda: processes.observe(url, token))

    async def prometheus(self) -> monitoring.Prometheus | None:
        """The state of Prometheus; None without an address."""
        url = self.target.prometheus
        return await self._once("prometheus", lambda: monitoring.observe_prometheus(url)) if url else None

    async def alertmanagers(self) -> list[Answer]:
        """Whether each Alertmanager is ready: the configured one, and those to which Prometheus sends alerts."""
        state = await self.prometheus()
        configured = self.target.alertmanager.rstrip("/")
        urls = [*([configured] if configured else ()), *(state.alertmanagers if state is not None else ())]
        return list(await asyncio.gather(*map(monitoring.observe_alertmanager, dict.fromkeys(urls))))


async def _broker(observations: Observations) -> list[Finding]:
    return broker.judge_broker(await observations.reached())


async def _topics(observations: Observations) -> list[Finding]:
    return broker.judge_topics(await observations.described(), observations.target.topics)


async def _producers(observations: Observations) -> list[Finding]:
    return sources.judge_producers(await observations.records())


async def _names(observations: Observations) -> list[Finding]:
    return contents.judge_names(await observations.facts())


async def _scales(observations: Observations) -> list[Finding]:
    return contents.judge_scales(await observations.facts())


async def _workers(observations: Observations) -> list[Finding]:
    partitions, markers = await observations.partitions(), await observations.markers()
    group = await progress.describe_group(observations.target)
    return progress.judge_workers(group, markers, partitions, observations.target.policy, int(time.time() * 1000))


async def _lag(observations: Observations) -> list[Finding]:
    return progress.judge_lag(await observations.samples())


async def _commits(observations: Observations) -> list[Finding]:
    return progress.judge_commits(await observations.samples())


async def _recount(observations: Observations) -> list[Finding]:
    partitions, chosen = await observations.partitions(), observations.target.partition
    if chosen is None:
        chosen = counting.choose((await observations.markers()).keys(), time.time())
    elif chosen >= partitions:
        return [not_run("recount", f"partition {chosen} does not exist", f"Choose one below {partitions}.")]
    return counting.judge_recount(
        None if chosen is None else await counting.recount(observations.target, chosen), partitions
    )


async def _worker(observations: Observations) -> list[Finding]:
    return [finding for process in await observations.workers() for finding in processes.judge_worker(process)]


async def _circuit_breaker(observations: Observations) -> list[Finding]:
    workers = await observations.workers()
    return processes.judge_circuit_breaker(workers, await _held_back(observations) if processes.paused(workers) else ())


async def _held_back(observations: Observations) -> Sequence[RejectedExample]:
    """The first events that wait and would be rejected; empty when they cannot be read in time."""
    target = observations.target
    with contextlib.suppress(KafkaError, topics.TopicsError, OSError, TimeoutError):
        async with asyncio.timeout(_PEEK_SECONDS):
            return (await peek(target.client, target.topics, target.group, target.decoder, _OFFENDERS)).first
    return ()


async def _view(observations: Observations) -> list[Finding]:
    return processes.judge_view(await observations.view())


async def _ingest(observations: Observations) -> list[Finding]:
    findings = [finding for process in await observations.ingests() for finding in processes.judge_ingest(process)]
    (first, *_) = observations.target.ingests
    return findings or [skipped("ingest", f"nothing answers at {first} (--ingest-url, or the setting ingest_http)")]


async def _versions(observations: Observations) -> list[Finding]:
    return processes.judge_versions(await observations.all_processes(), __version__)


async def _clock(observations: Observations) -> list[Finding]:
    try:
        ahead = progress.broker_ahead_s(await observations.markers())
    except BlockedError:
        ahead = None
    return processes.judge_clock(await observations.all_processes(), ahead)


async def _dead_letters(observations: Observations) -> list[Finding]:
    await observations.partitions()
    return sources.judge_dead_letters(await sources.read_dead_letters(observations.target), int(time.time() * 1000))


async def _prometheus(observations: Observations) -> list[Finding]:
    state = await observations.prometheus()
    if state is None:
        return [skipped("prometheus", "no address (--prometheus, or the setting prometheus_url)")]
    return monitoring.judge_prometheus(state)


async def _alertmanager(observations: Observations) -> list[Finding]:
    state, answers = await observations.prometheus(), await observations.alertmanagers()
    if state is None and not answers:
        return [skipped("alertmanager", "no address (--alertmanager, or the setting alertmanager_url)")]
    return monitoring.judge_alertmanager(state, answers, observations.target.alertmanager.rstrip("/"))


async def _waiting(observations: Observations) -> list[Finding]:
    markers = await observations.markers()
    return judge_waiting(await observations.workers(), markers, observations.target.wait_days)


async def _disk(observations: Observations) -> list[Finding]:
    return judge_disk(observe_disk(observations.target.data_dir), observations.target.data_dir)


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    name: str
    examines: str
    """What it examines, for `--list` and the docs."""
    run: Callable[[Observations], Awaitable[list[Finding]]]


CHECKS: Final = (
    Check(
        "broker",
        "Connections to all addresses in `brokers` and to all addresses that these brokers advertise.",
        _broker,
    ),
    Check("topics", "Existence, partitions and settings of the topics, as `topics diff` does.", _topics),
    Check(
        "producers",
        f"The last {sources.SAMPLED} records of each source partition: whether the key is the item, and whether the "
        "record is in the partition that murmur2 selects.",
        _producers,
    ),
    Check(
        "names",
        "In these records: queues, criteria, metrics, judge versions and annotators whose names look alike.",
        _names,
    ),
    Check(
        "scales",
        "In these records: several thresholds in one judge version, and scores of one metric on two scales.",
        _scales,
    ),
    Check(
        "workers",
        "Members of the consumer group, age of the checkpoint marker of each partition, ledger ids and policies.",
        _workers,
    ),
    Check("lag", "Committed offsets and ends of the sources; twice if events wait.", _lag),
    Check(
        "commits",
        f"Whether committed offsets advance within {progress.WATCH_SECONDS:g} s wherever events wait.",
        _commits,
    ),
    Check(
        "recount",
        "Ledger and tallies of one partition, read with the code of the view and compared with a batch recount, which "
        "shares no counting code with the workers. `--partition` chooses it; by default it changes every minute.",
        _recount,
    ),
    Check(
        "worker", "`/healthz`, `/readyz` and `/metrics` of each `--worker-url`, with the result of its audit.", _worker
    ),
    Check("circuit_breaker", "Whether the circuit breaker has paused one of these workers.", _circuit_breaker),
    Check(
        "view",
        "`/healthz`, `/readyz` and `/metrics` of `--view-url`: whether its numbers are fresh and its sinks work.",
        _view,
    ),
    Check(
        "ingest",
        "`/healthz`, `/readyz` and `/metrics` of each `--ingest-url`; without one, of an ingest at `ingest_http`.",
        _ingest,
    ),
    Check("versions", "The releases of these workers, the view, ingest and this command.", _versions),
    Check(
        "clock",
        "The clocks of these processes compared with this machine, and the broker's compared with the workers'.",
        _clock,
    ),
    Check("dead-letters", "Dead letters of the last 24 hours that are not acknowledged, by reason.", _dead_letters),
    Check(
        "prometheus",
        "With an address: whether the rules are loaded and valid, workers, view and ingest are scraped, and alerts "
        "fire.",
        _prometheus,
    ),
    Check(
        "alertmanager",
        "With an address: whether Prometheus sends alerts to an Alertmanager, and whether `/-/ready` of each answers.",
        _alertmanager,
    ),
    Check(
        "waiting",
        "Evaluations that wait for an annotation: `wait_days` of these workers, their stores and disks, and whether "
        "the last checkpoint markers report that evaluations are read again or are missing.",
        _waiting,
    ),
    Check("disk", "Free space in the data directory of the view, if it is on this machine.", _disk),
)
"""All checks, causes before their consequences."""


async def examine(target: Target, checks: Sequence[Check]) -> list[Finding]:
    """Run these checks; returns their findings, worst first."""
    observations = Observations(target)
    try:
        results = await asyncio.gather(*(_run_check(check, observations) for check in checks))
    finally:
        await observations.close()
    return ordered(finding for findings in results for finding in findings)


def _without_result(check: Check, error: Exception) -> Finding:
    """The finding about a check that was ended by an exception."""
    if isinstance(error, CorruptPartitionError):
        return failed(check.name, str(error), "The broker's disk: restore the log of the partition, as from a replica.")
    why = f"{type(error).__name__}: {error}"
    if exit_code_of(error) is ExitCode.NOT_AUTHORISED:
        return not_run(check.name, why, "Allow the user of doctor to describe and read the topics and the group.")
    if isinstance(error, KafkaError | topics.TopicsError | LedgerError | OSError):
        return not_run(check.name, why)
    _log.debug("check %s failed", check.name, exc_info=error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    return failed(
        check.name,
        f"unexpected {why} ({where}), while this was examined: {check.examines}",
        "Report this finding; the other checks are not affected.",
    )


async def _run_check(check: Check, observations: Observations) -> list[Finding]:
    """The findings of a check, or one finding that it could not run."""
    limit = asyncio.timeout(observations.target.seconds)
    try:
        async with limit:
            findings = await check.run(observations)
    except BlockedError as error:
        return [skipped(check.name, str(error))]
    except TimeoutError as error:
        if limit.expired():
            return [
                not_run(check.name, f"not finished within {observations.target.seconds:g} s", "Set a longer --timeout.")
            ]
        return [not_run(check.name, str(error) or "timed out")]
    except Exception as error:  # noqa: BLE001 -- what breaks a check must not hide what the others find
        return [_without_result(check, error)]
    return findings or [skipped(check.name, "no process could be scraped: see worker, view and ingest")]
