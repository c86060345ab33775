"""Seeded histories of a tool, pulled through all its troubles, against a plain count of what the tool has at the end.

A history edits, deletes and adds records, also while lists are read, and in between the source is pulled. Requests
fail, answers of the broker are lost. After a last sweep, the rows that the published events leave must be those that
the records of the tool's store mean. What they mean is written here by hand, without the mapper.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sources.pulls.pull import PullError
from sources.pulls.sync import PullRequest
from tests.support.fake_tools.base import FakeClock, FakeTool
from tests.support.fake_tools.langfuse import FakeLangfuse
from tests.support.fake_tools.langsmith import FakeLangSmith
from tests.support.pulls import PulledSource, pulled_settings
from tests.support.sources import RECEIVED

FEW = range(4)
MANY = range(100, 140)
HOUR = 3_600_000
Rows = dict[tuple[str, ...], tuple[Any, ...]]

CONFIG: dict[str, Any] = {
    "queue": "inbox",
    "queues": {"que-1": "support"},
    "criteria": {
        "quality": {"rating": "stars"},
        "correctness": {"rating": {"up": ["Correct"], "down": ["Wrong"]}},
        "resolved": {"rating": "thumbs"},
    },
    "metrics": {
        "faithfulness": {"threshold": 0.7},
        "toxicity": {"threshold": 0.2, "direction": "lower"},
        "policy": {"pass": ["true"], "fail": ["false"]},
    },
}


def ratings(random: Random) -> tuple[str, Any]:
    """A name, and what a person may say under it."""
    name = random.choice(["quality", "correctness", "resolved", "unknown"])
    values: dict[str, Any] = {
        "quality": random.randint(1, 5),
        "correctness": random.choice(["Correct", "Wrong", "Partly"]),
        "resolved": random.random() < 0.5,
        "unknown": 3,
    }
    return name, values[name]


def verdicts(random: Random) -> tuple[str, Any]:
    """A name, and what a judge may say under it."""
    name = random.choice(["faithfulness", "toxicity", "policy"])
    return name, random.random() < 0.5 if name == "policy" else round(random.random(), 2)


def rating_of(name: str, value: Any) -> Any:
    """The rating that a value means; None for none."""
    if name == "quality":
        return value
    if name == "correctness":
        return {"Correct": "up", "Wrong": "down"}.get(value)
    return ("up" if value else "down") if name == "resolved" else None


def verdict_of(name: str, value: Any) -> tuple[float | None, bool]:
    """Score and verdict that a value means."""
    if name == "policy":
        return None, value
    return value, value >= 0.7 if name == "faithfulness" else value <= 0.2


class LangfuseHistory:
    """Edits of a Langfuse project."""

    def __init__(self, random: Random, clock: FakeClock) -> None:
        self.random = random
        self.tool = FakeLangfuse(clock, random.randrange(1 << 30))

    def edit(self) -> None:
        """One edit."""
        random, tool = self.random, self.tool
        match random.choice(["rate", "rate", "judge", "judge", "change", "delete", "queue", "unqueue"]):
            case "rate":
                name, value = ratings(random)
                author, queue = random.choice(["ada", "ben"]), random.choice(["que-1", None])
                self._put(name, value, f"t{random.randrange(8)}", author=author, queue=queue)
            case "judge":
                name, value = verdicts(random)
                self._put(name, value, f"t{random.randrange(8)}", source="EVAL")
            case "change" if tool.scores:
                # As the web interface does: no time moves.
                score = tool.scores[random.choice([*tool.scores])]
                score["comment"] = random.choice([None, "short", "too long"])
            case "delete" if tool.scores:
                del tool.scores[random.choice([*tool.scores])]
            case "queue":
                queue, item = random.choice(["que-1", "que-2"]), f"t{random.randrange(8)}"
                if all(each["objectId"] != item for each in tool.queues.get(queue, {}).values()):
                    tool.add_item(queue, item)
            case "unqueue" if tool.queues:
                items = tool.queues[random.choice([*tool.queues])]
                if items:
                    del items[random.choice([*items])]

    def _put(self, name: str, value: Any, item: str, **fields: Any) -> None:
        """A second score of the same target by the same person replaces the value of the first."""
        for score in self.tool.scores.values():
            same = (score["name"], score["subject"]["id"], score["authorUserId"]) == (name, item, fields.get("author"))
            if same and score["queueId"] == fields.get("queue"):
                score["value"] = value
                if self.random.random() < 0.5:
                    score["updatedAt"] = self.tool.clock.now
                return
        self.tool.add_score(name, value, item=item, **fields)

    def meaning(self) -> Rows:
        """The rows that the store means."""
        rows: Rows = {
            ("queue item", {"que-1": "support", "que-2": "inbox"}[queue], item["objectId"]): ()
            for queue, items in self.tool.queues.items()
            for item in items.values()
        }
        for score in self.tool.scores.values():
            name, value, item, comment = score["name"], score["value"], score["subject"]["id"], score["comment"]
            if score["source"] == "EVAL":
                rows["evaluation", item, name] = (*verdict_of(name, value), comment)
            elif (rating := rating_of(name, value)) is not None:
                queue = "support" if score["queueId"] == "que-1" else "inbox"
                rows["annotation", queue, item, name, score["authorUserId"]] = (rating, comment)
        return rows


class LangSmithHistory:
    """Edits of a LangSmith workspace."""

    def __init__(self, random: Random, clock: FakeClock) -> None:
        self.random = random
        self.tool = FakeLangSmith(clock, random.randrange(1 << 30), oldest_first=random.random() < 0.5)

    def edit(self) -> None:
        """One edit."""
        random, feedback, now = self.random, self.tool.feedback, self.tool.clock.now
        match random.choice(["rate", "rate", "judge", "judge", "change", "delete"]):
            case "rate":
                self._put(*ratings(random), by="app", user=random.choice(["ada", "ben"]))
            case "judge":
                self._put(*verdicts(random), by="model")
            case "change" if feedback:
                each = feedback[random.choice([*feedback])]
                each["comment"], each["modified_at"] = random.choice([None, "short", "too long"]), now
            case "delete" if feedback:
                del feedback[random.choice([*feedback])]

    def _put(self, key: str, value: Any, *, by: str, user: str | None = None) -> None:
        item = f"t{self.random.randrange(8)}"
        said = {"value": value, "score": None} if isinstance(value, str) else {"score": value, "value": None}
        for each in self.tool.feedback.values():
            if (each["key"], each["run_id"], each["feedback_source"]) == (key, item, {"type": by, "user_id": user}):
                each.update(said, modified_at=self.tool.clock.now)
                return
        self.tool.add(key, item=item, by=by, user=user, **said)

    def meaning(self) -> Rows:
        """The rows that the store means."""
        rows: Rows = {}
        for each in self.tool.feedback.values():
            key, item, comment, source = each["key"], each["run_id"], each["comment"], each["feedback_source"]
            value = each["score"] if each["value"] is None else each["value"]
            if source["type"] == "model":
                rows["evaluation", item, key] = (*verdict_of(key, value), comment)
            elif (rating := rating_of(key, value)) is not None:
                rows["annotation", "inbox", item, key, source["user_id"]] = (rating, comment)
        return rows


History = LangfuseHistory | LangSmithHistory
HISTORIES: dict[str, Callable[[Random, FakeClock], History]] = {
    "langfuse": LangfuseHistory,
    "langsmith": LangSmithHistory,
}


async def live(history: History, source: PulledSource, random: Random) -> None:
    """Edit and pull, with all troubles."""
    tool: FakeTool = source.tool

    def edit_while_reading() -> None:
        if random.random() < 0.3:
            for _ in range(random.randrange(4)):
                history.edit()

    for _ in range(60):
        for _ in range(random.randrange(6)):
            history.edit()
            tool.clock.advance(random.choice([0, 1, 1_000, 60_000]))
        tool.clock.advance(random.choice([0, 1_000, 60_000, HOUR]))
        if random.random() < 0.5:
            continue
        tool.trouble = random.choice([0, 0, 0.1, 0.4])
        tool.before_answer = edit_while_reading
        source.broker.lost_answers = random.random() < 0.1
        with suppress(PullError, ConnectionError):
            await source.pull.run(PullRequest(full=random.random() < 0.1))
        tool.before_answer = lambda: None
    tool.trouble = source.broker.lost_answers = 0
    # The tool's lists move no more, and an empty one needs a second full reading.
    tool.clock.advance(2 * HOUR)
    full = PullRequest(full=random.random() < 0.5)
    await source.pull.run(full)
    if any(report.notes for report in await source.pull.run(full)) or not history.meaning():
        await source.pull.run(PullRequest(full=True, confirm_empty=True))


async def check(directory: Path, tool: str, seed: int) -> None:
    """Compare what was published with what the store means."""
    random = Random(seed)
    history = HISTORIES[tool](random, FakeClock(RECEIVED))
    source = PulledSource(directory, history.tool, pulled_settings(directory, tool, **CONFIG))
    try:
        await live(history, source, random)
        assert source.rows() == history.meaning()
    finally:
        source.store.close()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:  # noqa: ARG001 -- no time passes
    for tool in HISTORIES:
        monkeypatch.setattr(f"sources.pulls.tools.{tool}.LIMIT", 4)


@pytest.mark.parametrize("tool", HISTORIES)
@pytest.mark.parametrize("seed", FEW)
async def test_what_is_published_is_what_the_tool_has(tmp_path: Path, tool: str, seed: int) -> None:
    await check(tmp_path, tool, seed)


@pytest.mark.slow
@pytest.mark.parametrize("tool", HISTORIES)
def test_what_is_published_is_what_the_tool_has_in_many_histories(tmp_path: Path, tool: str) -> None:
    for seed in MANY:
        asyncio.run(check(tmp_path / str(seed), tool, seed))
