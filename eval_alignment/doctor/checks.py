"""The checks, in one table, and making them: all at once, each within its time, none failing another."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from aiokafka.errors import KafkaError

from eval_alignment import __version__
from eval_alignment.doctor import broker, counting, monitoring, processes, progress, sources
from eval_alignment.doctor.disk import judge_disk, observe_disk
from eval_alignment.doctor.findings import Finding, not_asked, not_made, ordered
from eval_alignment.doctor.http import Answer, get
from eval_alignment.doctor.target import BlockedError, Target
from eval_alignment.ledger_export import LedgerError, last_markers
from streams.kafka import topics
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import exit_code_of

_Seen = TypeVar("_Seen")


class Observations:
    """What was observed of an installation: each part once, whichever checks ask for it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def _once(self, name: str, observe: Callable[[], Coroutine[Any, Any, _Seen]]) -> _Seen:
        task: asyncio.Task[_Seen] | None = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(observe())
        # A check that runs out of time must not take the observation from the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is still being observed."""
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
        """P. Raises BlockedError when the topics do not let a worker start either."""
        try:
            return topics.check(self.target.topics, (await self.described()).counts)
        except topics.TopicsError as error:
            raise BlockedError("topics are missing, or uneven: see topics") from error

    async def samples(self) -> list[progress.OffsetSample]:
        """Offsets of the sources, once or twice."""
        partitions = await self.partitions()
        return await self._once("samples", lambda: progress.sample(self.target, partitions))

    async def marker(self) -> progress.LastMarkers:
        """The last `marker` of each partition."""
        await self.partitions()
        return await self._once("closed", lambda: last_markers(self.target.client, self.target.topics))

    async def workers(self) -> list[processes.Process]:
        """Every worker that is known by its address."""
        urls = self.target.workers
        return list(await asyncio.gather(*(self._process(url) for url in urls)))

    async def view(self) -> processes.Process:
        """The view."""
        return await self._process(self.target.view)

    async def _process(self, url: str) -> processes.Process:
        return await self._once(f"process {url}", lambda: processes.observe(url, self.target.token))

    async def prometheus(self) -> monitoring.Prometheus | None:
        """Prometheus; None without an address."""
        url = self.target.prometheus
        return await self._once("prometheus", lambda: monitoring.observe_prometheus(url)) if url else None

    async def alertmanager(self) -> Answer | None:
        """What Alertmanager says of its readiness; None without an address."""
        url = self.target.alertmanager
        return await get(f"{url.rstrip('/')}/-/ready") if url else None


async def _broker(look: Observations) -> list[Finding]:
    return broker.judge_broker(await look.reached())


async def _topics(look: Observations) -> list[Finding]:
    return broker.judge_topics(await look.described(), look.target.topics)


async def _producers(look: Observations) -> list[Finding]:
    return sources.judge_producers(await sources.sample_sources(look.target, await look.partitions()))


async def _workers(look: Observations) -> list[Finding]:
    partitions, marker = await look.partitions(), await look.marker()
    group = await progress.describe_group(look.target)
    return progress.judge_workers(group, marker, partitions, look.target.policy, int(time.time() * 1000))


async def _lag(look: Observations) -> list[Finding]:
    return progress.judge_lag(await look.samples())


async def _commits(look: Observations) -> list[Finding]:
    return progress.judge_commits(await look.samples())


async def _recount(look: Observations) -> list[Finding]:
    partitions, chosen = await look.partitions(), look.target.partition
    if chosen is None:
        chosen = counting.choose((await look.marker()).keys(), time.time())
    elif chosen >= partitions:
        return [not_made("recount", f"there is no partition {chosen}", f"Name one below {partitions}.")]
    return counting.judge_recount(None if chosen is None else await counting.recount(look.target, chosen), partitions)


async def _worker(look: Observations) -> list[Finding]:
    return [finding for process in await look.workers() for finding in processes.judge_worker(process)]


async def _circuit_breaker(look: Observations) -> list[Finding]:
    return processes.judge_circuit_breaker(await look.workers())


async def _view(look: Observations) -> list[Finding]:
    return processes.judge_view(await look.view())


async def _versions(look: Observations) -> list[Finding]:
    return processes.judge_versions([*await look.workers(), await look.view()], __version__)


async def _clock(look: Observations) -> list[Finding]:
    try:
        ahead = progress.broker_ahead_s(await look.marker())
    except BlockedError:
        ahead = None
    return processes.judge_clock([*await look.workers(), await look.view()], ahead)


async def _dead_letters(look: Observations) -> list[Finding]:
    await look.partitions()
    return sources.judge_dead_letters(await sources.read_dead_letters(look.target), int(time.time() * 1000))


async def _prometheus(look: Observations) -> list[Finding]:
    seen = await look.prometheus()
    if seen is None:
        return [not_asked("prometheus", "no address: --prometheus, or the setting prometheus_url")]
    return monitoring.judge_prometheus(seen)


async def _alertmanager(look: Observations) -> list[Finding]:
    seen, ready = await look.prometheus(), await look.alertmanager()
    if seen is None and ready is None:
        return [not_asked("alertmanager", "no address: --alertmanager, or the setting alertmanager_url")]
    return monitoring.judge_alertmanager(seen, ready)


async def _disk(look: Observations) -> list[Finding]:
    return judge_disk(observe_disk(look.target.data_dir), look.target.data_dir)


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, what it looks at, and how it is made."""

    name: str
    looks_at: str
    make: Callable[[Observations], Awaitable[list[Finding]]]


CHECKS: Final = (
    Check("broker", "A connection to every address of `brokers` and to every address that these advertise.", _broker),
    Check("topics", "Existence, partitions and settings of the topics, as `topics diff` does.", _topics),
    Check(
        "producers",
        f"The last {sources.SAMPLED} records of each source partition: whether the key is the item, and whether it "
        "stands where murmur2 puts it.",
        _producers,
    ),
    Check(
        "workers",
        "Members of the consumer group, when each partition was closed last, ledger ids and policies.",
        _workers,
    ),
    Check("lag", "Committed offsets and ends of the sources; twice where something waits.", _lag),
    Check(
        "commits",
        f"Whether committed offsets move where something waits, within {progress.WATCH_SECONDS:g} seconds.",
        _commits,
    ),
    Check(
        "recount",
        "One partition of ledger and tallies, read as a view reads it and counted anew by the batch recount, which "
        "shares no counting with the workers. `--partition` chooses it, else it is another one every minute.",
        _recount,
    ),
    Check("worker", "`/healthz`, `/readyz` and `/metrics` of each `--worker-url`, and its audit.", _worker),
    Check("circuit_breaker", "Whether the circuit breaker pauses one of these workers.", _circuit_breaker),
    Check("view", "`/healthz`, `/readyz` and `/metrics` of `--view-url`: fresh, and its sinks at work.", _view),
    Check("versions", "The releases of these workers, the view and this command.", _versions),
    Check(
        "clock",
        "The `Date` of workers and view against the clock here, and the broker's timestamps against the workers'.",
        _clock,
    ),
    Check("dead-letters", "Dead letters of the last 24 hours, by reason.", _dead_letters),
    Check(
        "prometheus",
        "With an address: our rules loaded and well, our processes scraped, alerts that fire.",
        _prometheus,
    ),
    Check(
        "alertmanager",
        "With an address: whether Alertmanager is ready; and whether Prometheus knows one.",
        _alertmanager,
    ),
    Check("disk", "Room in the data directory of the view, when it is on this machine.", _disk),
)
"""Every check, in the order in which causes come before consequences."""


async def examine(target: Target, checks: Sequence[Check]) -> list[Finding]:
    """Make these checks, and return what they found, the worst first."""
    look = Observations(target)
    try:
        made = await asyncio.gather(*(_make(check, look) for check in checks))
    finally:
        await look.close()
    return ordered(finding for findings in made for finding in findings)


async def _make(check: Check, look: Observations) -> list[Finding]:
    """The check's findings; where it cannot be made, one that says so."""
    limit = asyncio.timeout(look.target.seconds)
    try:
        async with limit:
            findings = await check.make(look)
    except BlockedError as error:
        return [not_asked(check.name, str(error))]
    except TimeoutError as error:
        if limit.expired():
            return [not_made(check.name, f"not done in {look.target.seconds:g} s", "Give it more with --timeout.")]
        return [not_made(check.name, str(error) or "no answer in time")]
    except (KafkaError, topics.TopicsError, LedgerError, OSError) as error:
        why = f"{type(error).__name__}: {error}"
        if exit_code_of(error) is ExitCode.NOT_AUTHORISED:
            return [not_made(check.name, why, "Allow doctor's user to describe and read the topics and the group.")]
        return [not_made(check.name, why)]
    return findings or [not_asked(check.name, "no process could be scraped: see worker and view")]
