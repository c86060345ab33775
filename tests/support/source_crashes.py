"""A source whose process crashes between any two steps, and the tool, the topics and the workers around it.

The intake, the owner index and its making from events are the product's. The tool is invented: its records have several
ratings, webhooks that arrive in any order, more than once or never, and a list that is pulled. Its own store is the
oracle.
"""

import asyncio
import json
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aggregator.facts import Annotation, Fact
from sources.intake.changes import PendingBatch, pending_batch
from sources.intake.intake import Delivery, IntakeResult, SourceIntake
from sources.intake.rebuild import SourceEvents, rebuild
from sources.intake.store import FILE, IndexStore, StoredIndex
from sources.meaning import Rules
from sources.ownership import OwnedRecord
from sources.rules import SourceSettings
from sources.source import RecordOutcome, ToolSource
from streams.events.decoder import Decoder
from tests.support.source_world import TOOL, Document, Ratings, ToolStore, Topics

PREFIX: Final = "tool"
STREAM: Final = "ratings"
TOPIC: Final = "events"
START_MS: Final = 1_795_000_000_000
PROTECTIONS: Final = (
    "acknowledged first",
    "staged",
    "deleted at",
    "events of the topics",
    "positions",
    "outbox",
    "unlisted records",
    "versions of recovered records",
)
"""What can be left out."""


class CrashError(Exception):
    """The process is killed."""


class NotAcknowledgedError(Exception):
    """The broker did not acknowledge everything."""


class FragileIndex(StoredIndex):
    """Crashes before or after a commit."""

    crashes: "Crashes"
    forgetful: bool
    has_outbox: bool
    takes_versions_as_known: bool

    def prepare(self, batch: PendingBatch) -> None:
        self.crashes.step("before outbox")
        if self.has_outbox:
            super().prepare(batch)
        self.crashes.step("after outbox")

    def commit(self, batch: PendingBatch) -> None:
        self.crashes.step("before commit")
        super().commit(batch)
        self.crashes.step("after commit")

    def get(self, native: str) -> OwnedRecord | None:
        found = super().get(native)
        if found is not None and self.takes_versions_as_known:
            return OwnedRecord(found.version, found.at, found.rows)
        return found

    def deleted_at(self, identity: bytes) -> int:
        return -1 if self.forgetful else super().deleted_at(identity)


@dataclass
class Crashes:
    """Decides at each step whether the process is killed there."""

    rng: random.Random
    rate: float = 0.0
    steps: dict[str, int] = field(default_factory=dict)
    """Number of crashes by step."""

    def step(self, name: str) -> None:
        if self.rng.random() < self.rate:
            self.steps[name] = self.steps.get(name, 0) + 1
            raise CrashError(name)


class World:
    """A history by a seed.

    Args:
        seed: decides everything.
        directory: of the index.
        without: protections that are left out.
    """

    def __init__(self, seed: int, directory: Path, without: Iterable[str] = ()) -> None:
        self.rng = random.Random(seed)
        self.mode = seed % 3
        self.without = frozenset(without)
        assert self.without <= {*PROTECTIONS}
        self.now = START_MS
        self.tool, self.topics = ToolStore(), Topics()
        self.crashes = Crashes(self.rng)
        self.directory = directory
        self._copy: Path | None = None
        self.lost = self.copied = 0
        self._late: list[Fact] = []
        """Sent, not acknowledged, and not arrived yet."""
        self.intake: SourceIntake
        self._store: IndexStore

    @property
    def is_repeated(self) -> bool:
        """Whether senders repeat what is not answered, and nothing happens that only a list shows."""
        return self.mode != 2

    async def run(self, steps: int = 60) -> None:
        """The whole history; afterwards `verdict` must be None."""
        self._open()
        self.crashes.rate = 0.06
        for _ in range(steps):
            self.now += self.rng.randint(1, 50)
            if self._late and self.rng.random() < 0.5:
                self.topics.events.append(self._late.pop(0))
            try:
                await self._act()
            except CrashError:
                self._restart()
            except NotAcknowledgedError:
                continue
        self.crashes.rate = 0.0
        self.topics.events += self._late
        while self.tool.webhooks:
            self.now += 1
            await self._answer(0)
        if not self.is_repeated:
            self.now += 1
            await self._pull(full=True)
        await self.intake.settle()
        await self._keep()

    async def verdict(self) -> str | None:
        """What is wrong at the end; None when the events are what the tool has, and reading all again sends nothing."""
        if (sent := self.topics.ratings()) != (has := self.tool.ratings()):
            extra = {key: value for key, value in sent.items() if has.get(key) != value}
            missing = {key: value for key, value in has.items() if key not in sent}
            return f"events state {extra}, and lack {missing}"
        if self.is_repeated:
            return None
        before = len(self.topics.events)
        self.now += 1000
        await self._pull(full=True)
        again = self.topics.events[before:]
        return f"the same said again: {again}" if again else None

    def close(self) -> None:
        self._store.close()

    # What happens.

    async def _act(self) -> None:
        acts = [self._create, self._edit, self._delete, self._webhook, self._webhook, self._work, self._keep_copy]
        acts += [self._tick]
        if not self.is_repeated:
            acts += [self._edit_silently, self._edit_silently, self._vanish, self._drop_webhook]
            acts += [self._pull_some, self._pull_all]
        if (acted := self.rng.choice(acts)()) is not None:
            await acted

    def _record(self) -> Document | None:
        return self.rng.choice([*self.tool.records.values()]) if self.tool.records else None

    def _ratings(self) -> Ratings:
        chosen = self.rng.sample(["clear", "brief", "kind"], self.rng.randint(0, 2))
        return {name: self.rng.randint(1, 5) for name in chosen}

    def _create(self) -> None:
        free = {f"i{number}" for number in range(4)} - {record["item"] for record in self.tool.records.values()}
        if not free:
            return
        self.tool.created += 1
        native = str(self.tool.created)
        item = self.rng.choice(sorted(free))
        self.tool.records[native] = {"id": native, "item": item, "at": self.now, "ratings": self._ratings()}
        self._notify(self.tool.records[native])

    def _edit(self) -> None:
        if (record := self._record()) is not None:
            record |= {"at": self.now, "ratings": self._ratings()}
            self._notify(record)

    def _edit_silently(self) -> None:
        """An edit that moves no time, and that no webhook reports."""
        if (record := self._record()) is not None:
            record["ratings"] = self._ratings()

    def _delete(self) -> None:
        if (record := self._record()) is not None:
            del self.tool.records[record["id"]]
            self._notify({"id": record["id"], "deleted": True})

    def _vanish(self) -> None:
        if (record := self._record()) is not None:
            del self.tool.records[record["id"]]

    def _notify(self, record: Document) -> None:
        self.tool.webhooks.append(json.loads(json.dumps(record)))

    def _drop_webhook(self) -> None:
        if self.tool.webhooks:
            self.tool.webhooks.pop(self.rng.randrange(len(self.tool.webhooks)))

    async def _webhook(self) -> None:
        if not self.tool.webhooks:
            return
        # A lost index does not know of deletions before the record was stated.
        in_order = self.mode == 1
        await self._answer(0 if in_order else self.rng.randrange(len(self.tool.webhooks)))

    async def _answer(self, number: int) -> None:
        """Deliver a webhook. It is sent again unless it is answered; some tools send it again all the same."""
        document = self.tool.webhooks[number]
        try:
            await self.intake.take(json.dumps([document]).encode(), self.now)
            self.crashes.step("before answer")
        except (CrashError, NotAcknowledgedError):
            if not self.is_repeated and self.rng.random() < 0.5:
                self.tool.webhooks.remove(document)
            raise
        if self.crashes.rate == 0 or self.rng.random() < 0.8:
            self.tool.webhooks.remove(document)

    def _pull_some(self) -> Any:
        return self._pull(full=False)

    def _pull_all(self) -> Any:
        return self._pull(full=True)

    async def _pull(self, *, full: bool) -> None:
        """Read the list in pages, while the tool changes; then retract what it does not have."""
        started, seen = self.now, set[str]()
        listed = self.tool.listed()
        for first in range(0, len(listed), 2):
            page = listed[first : first + 2]
            taken = await self.intake.take(json.dumps(page).encode(), self.now, stream=STREAM, listed=page[0]["at"])
            seen |= taken.natives
            self.crashes.step("before cursor")
            self.now += 1
        await self.intake.retract_missing(seen, self.now, stream=STREAM)
        if full and "unlisted records" not in self.without:
            await self.intake.retract_unlisted(started, self.now)

    # Ways without a protection.

    async def _commit_first(self, result: Any, seen: Iterable[str], arrival: Any) -> IntakeResult:
        index = self.intake.index
        assert index is not None
        index.commit(pending_batch(result.changes, seen=seen, stream=arrival.stream, listed=arrival.listed))
        if events := [each.result for each in result.outcomes if isinstance(each.result, Annotation)]:
            await self._deliver(Delivery(events, ()))
        return IntakeResult()

    def _stage_nothing(self, outcomes: Callable[[ToolSource], Iterable[RecordOutcome]]) -> Any:
        index = self.intake.index
        assert index is not None
        result = SourceIntake._stage(self.intake, outcomes)
        StoredIndex.commit(index, pending_batch(result.changes))
        return result

    # The process, and what it stands on.

    def _open(self) -> None:
        self._store = IndexStore(self.directory)
        self._store._connection.execute("PRAGMA synchronous = OFF")
        index = FragileIndex(PREFIX, self._store)
        object.__setattr__(index, "crashes", self.crashes)
        object.__setattr__(index, "forgetful", "deleted at" in self.without)
        object.__setattr__(index, "has_outbox", "outbox" not in self.without)
        object.__setattr__(index, "takes_versions_as_known", "versions of recovered records" in self.without)
        settings = SourceSettings.model_validate({"tool": "labelstudio", "id_prefix": PREFIX})
        source = ToolSource(TOOL, Rules(settings), Decoder())
        self.intake = SourceIntake(source, self._deliver, index)
        if "acknowledged first" in self.without:
            self.intake._send = self._commit_first  # type: ignore[method-assign]
        if "staged" in self.without:
            self.intake._stage = self._stage_nothing  # type: ignore[method-assign]
        rate, self.crashes.rate = self.crashes.rate, 0.0
        self._catch_up()
        self.crashes.rate = rate

    def _restart(self) -> None:
        self._store.close()
        self._late.clear()
        match self.rng.random():
            case chance if self.mode == 0 or chance < 0.5:
                pass
            case chance if chance < 0.8:
                self.lost += 1
                self._remove()
            case _ if self._copy is not None:
                self.copied += 1
                self._remove()
                shutil.copy(self._copy, self.directory / FILE)
        self._open()

    def _remove(self) -> None:
        for path in self.directory.glob(f"{FILE}*"):
            path.unlink()

    def _keep_copy(self) -> None:
        copy = self.directory / "copy"
        copy.unlink(missing_ok=True)
        self._store._connection.execute(f"VACUUM INTO '{copy}'")
        self._copy = copy

    def _work(self) -> None:
        self.topics.work(self.rng.randint(self.topics.committed, len(self.topics.events)))
        # Only a full sync corrects an old copy whose events are not left.
        if self.mode != 1 and self.rng.random() < 0.3:
            self.topics.start = self.rng.randint(self.topics.start, self.topics.committed)

    async def _tick(self) -> None:
        await self._keep()

    async def _keep(self) -> None:
        index = self.intake.index
        assert index is not None
        index.advance({TOPIC: {0: len(self.topics.events)}})

    def _catch_up(self) -> None:
        """As `ingest.rebuild` does."""
        index = self.intake.index
        assert index is not None
        positions = index.positions()
        if positions is not None and "positions" in self.without:
            return
        since = self.topics.committed if positions is None else positions[TOPIC][0]
        events = SourceEvents(self.intake.source, index)
        if from_ledger := positions is None or since < self.topics.start:
            since = max(self.topics.committed, self.topics.start)
            for fact in self.topics.ledger.values():
                events.add(fact)
        if not from_ledger or "events of the topics" not in self.without:
            for fact in self.topics.events[since:]:
                events.add(fact)
        rebuild(index, events, {TOPIC: {0: len(self.topics.events)}})

    async def _deliver(self, delivery: Delivery) -> None:
        assert not delivery.rejected
        self.crashes.step("before publish")
        if self.rng.random() < 2 * self.crashes.rate:
            # Each partition takes its part, sooner or later or never.
            for fact in delivery.facts:
                if (when := self.rng.random()) < 0.5:
                    self.topics.events.append(fact)
                elif when < 0.7:
                    self._late.append(fact)
            raise NotAcknowledgedError
        self.topics.events += delivery.facts
        self.crashes.step("after publish")


@dataclass
class Survey:
    """What the seeds had."""

    crashes: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    copied: int = 0
    wrong: dict[int, str] = field(default_factory=dict)
    """By seed."""


async def survey(seeds: Sequence[int], directory: Path, without: Iterable[str] = (), *, first: bool = False) -> Survey:
    """Run histories; with `first` until the first one that ends wrong."""
    found = Survey()
    for seed in seeds:
        place = directory / str(seed)
        world = World(seed, place, without)
        try:
            await world.run()
            if (wrong := await world.verdict()) is not None:
                found.wrong[seed] = wrong
        finally:
            world.close()
            await asyncio.to_thread(shutil.rmtree, place)
        for step, count in world.crashes.steps.items():
            found.crashes[step] = found.crashes.get(step, 0) + count
        found.lost += world.lost
        found.copied += world.copied
        if first and found.wrong:
            break
    return found
