"""Seeded histories of a tool, pulled through all its troubles, against a plain count of what the tool has at the end.

A history edits, deletes and adds records, also while lists are read, and in between the source is pulled. Requests
fail, answers of the broker are lost, and a reading may take many pulls. After a last sweep, the rows that the published
events leave must be those that the records of the store mean, which is written here by hand, without the mapper.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sources.pulls.pull import PullError
from sources.pulls.sync import PullRequest, StreamReport
from tests.support.fake_tools.base import FakeClock, FakeTool
from tests.support.fake_tools.labelstudio import FakeLabelStudio
from tests.support.fake_tools.langfuse import FakeLangfuse
from tests.support.fake_tools.langsmith import FakeLangSmith
from tests.support.fake_tools.mlflow import FakeMlflow
from tests.support.fake_tools.phoenix import PROJECT, FakePhoenix
from tests.support.pulls import PulledSource, pulled_settings
from tests.support.sources import RECEIVED

FEW = range(4)
MANY = range(100, 103)
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


class MlflowHistory:
    """Edits of an MLflow experiment and its review queues."""

    def __init__(self, random: Random, clock: FakeClock) -> None:
        self.random = random
        self.tool = FakeMlflow(clock, random.randrange(1 << 30))

    def edit(self) -> None:
        """One edit."""
        random, tool = self.random, self.tool
        kind = random.choice(["trace", "rate", "rate", "judge", "judge", "remove", "delete", "queue", "decide"])
        if kind == "trace" or not tool.traces:
            tool.add_trace(at=tool.clock.now - random.choice([0, 0, 5, HOUR]))
            return
        trace = random.choice([*tool.traces])
        assessments = tool.traces[trace]["assessments"]
        items = [item for queue in tool.queues.values() for item in queue.values()]
        match kind:
            case "rate":
                self._put(trace, *ratings(random), "HUMAN", random.choice(["ada", "ben"]))
            case "judge":
                self._put(trace, *verdicts(random), "LLM_JUDGE", "judge-v2")
            case "remove" if assessments:
                del assessments[random.choice([*assessments])]
            case "delete" if random.random() < 0.4:
                tool.delete_trace(trace)
            case "queue":
                tool.add_item(random.choice(["que-1", "que-2"]), trace)
            case "decide" if items:
                random.choice(items)["status"] = random.choice(["PENDING", "COMPLETE", "DECLINED"])

    def _put(self, trace: str, name: str, value: Any, kind: str, by: str) -> None:
        for each in self.tool.traces[trace]["assessments"].values():
            if (each["assessment_name"], each["source"]) == (name, {"source_type": kind, "source_id": by}):
                each.update(feedback={"value": value}, last_update_time=self.tool.clock.now)
                return
        self.tool.assess(trace, name, value, kind=kind, by=by)

    def meaning(self) -> Rows:
        """The rows that the store means."""
        rows: Rows = {
            ("queue item", {"que-1": "support", "que-2": "inbox"}[queue], trace): ()
            for queue, items in self.tool.queues.items()
            for trace, item in items.items()
            if item["status"] != "DECLINED"
        }
        for trace, fields in self.tool.traces.items():
            for each in fields["assessments"].values():
                name, value, source = each["assessment_name"], each["feedback"]["value"], each["source"]
                if source["source_type"] == "LLM_JUDGE":
                    rows["evaluation", trace, name] = (*verdict_of(name, value), None)
                elif (rating := rating_of(name, value)) is not None:
                    rows["annotation", "inbox", trace, name, source["source_id"]] = (rating, None)
        return rows


class PhoenixHistory:
    """Edits of a Phoenix project."""

    def __init__(self, random: Random, clock: FakeClock) -> None:
        self.random = random
        self.tool = FakePhoenix(clock, random.randrange(1 << 30))

    def edit(self) -> None:
        """One edit."""
        random, tool = self.random, self.tool
        kind = random.choice(["span", "rate", "rate", "judge", "judge", "remove", "delete"])
        if kind == "span" or not tool.spans:
            session = random.choice([None, "s1", "s2"])
            tool.add_span(f"t{random.randrange(4)}", session, at=tool.clock.now - random.choice([0, 0, 5, HOUR]))
            return
        span = random.choice([*tool.spans])
        targets = {"span_id": span, **{key: tool.spans[span][key] for key in ("trace_id", "session_id")}}
        key = random.choice([key for key, id in targets.items() if id])
        comment = random.choice([None, "short", "too long"])
        match kind:
            case "rate":
                name, value = ratings(random)
                said = {"label": value} if isinstance(value, str) else {"score": float(value)}
                by = random.choice(["ada", "ben"])
                tool.annotate(name, by=by, explanation=comment, **{key: targets[key]}, **said)
            case "judge":
                name, value = verdicts(random)
                said = {"label": str(value).lower()} if isinstance(value, bool) else {"score": value}
                tool.annotate(name, kind="LLM", by="j", explanation=comment, **{key: targets[key]}, **said)
            case "remove" if tool.annotations:
                del tool.annotations[random.choice([*tool.annotations])]
            case "delete" if random.random() < 0.4:
                tool.delete_span(span)

    def meaning(self) -> Rows:
        """The rows that the store means. Traces and sessions without spans are not found any more."""
        rows: Rows = {}
        known = {id for span, each in self.tool.spans.items() for id in (span, each["trace_id"], each["session_id"])}
        for each in self.tool.annotations.values():
            item = each.get("span_id") or each.get("trace_id") or each["session_id"]
            name, result = each["name"], each["result"]
            value = result["score"] if result["label"] is None else result["label"]
            if item not in known:
                continue
            if each["annotator_kind"] == "LLM":
                said = verdict_of(name, value == "true" if name == "policy" else value)
                rows["evaluation", item, name] = (*said, result["explanation"])
            elif (rating := rating_of(name, value)) is not None:
                rows["annotation", "inbox", item, name, each["identifier"]] = (rating, result["explanation"])
        return rows


class LabelStudioHistory:
    """Edits of a Label Studio project."""

    def __init__(self, random: Random, clock: FakeClock) -> None:
        self.random = random
        self.tool = FakeLabelStudio(clock, random.randrange(1 << 30))

    def edit(self) -> None:
        """One edit."""
        random, tool = self.random, self.tool
        kind = random.choice(["task", "rate", "rate", "rate", "predict", "unpredict", "remove", "delete"])
        if kind == "task" or not tool.tasks:
            tool.add_task(f"t{random.getrandbits(40)}")
            return
        task = random.choice([*tool.tasks])
        annotations, predictions = tool.tasks[task]["annotations"], tool.tasks[task]["predictions"]
        match kind:
            case "rate":
                said = dict(ratings(random) for _ in range(random.randrange(1, 4)))
                answers = {
                    name: f"{value}".lower() if name == "resolved" else f"{value}" for name, value in said.items()
                }
                by, cancelled = random.choice([1, 2]), random.random() < 0.2
                known = [id for id, each in annotations.items() if each["completed_by"] == by]
                if known:
                    tool.save(task, known[0], answers, by=by, cancelled=cancelled)
                else:
                    tool.annotate(task, answers, by=by, cancelled=cancelled)
            case "predict" if not predictions:
                tool.predict(task, {"policy": random.choice(["true", "false"])})
            case "unpredict":
                predictions.clear()
            case "remove" if annotations:
                tool.delete(task, random.choice([*annotations]))
            case "delete" if random.random() < 0.4:
                del tool.tasks[task]

    def meaning(self) -> Rows:
        """The rows that the store means."""
        rows: Rows = {}
        for task in self.tool.tasks.values():
            item = task["data"]["trace_id"]
            for each in task["annotations"].values():
                for answer in [] if each["was_cancelled"] else each["result"]:
                    name, (value,) = answer["from_name"], answer["value"]["choices"]
                    said = {"resolved": value == "true", "quality": int(value) if value.isdecimal() else value}
                    if (rating := rating_of(name, said.get(name, value))) is not None:
                        rows["annotation", "inbox", item, name, str(each["completed_by"])] = (rating, None)
            for each in task["predictions"].values():
                (answer,) = each["result"]
                rows["evaluation", item, "policy"] = (None, answer["value"]["choices"] == ["true"], None)
        return rows


History = LangfuseHistory | LangSmithHistory | MlflowHistory | PhoenixHistory | LabelStudioHistory
HISTORIES: dict[str, Callable[[Random, FakeClock], History]] = {
    "labelstudio": LabelStudioHistory,
    "langfuse": LangfuseHistory,
    "langsmith": LangSmithHistory,
    "mlflow": MlflowHistory,
    "phoenix": PhoenixHistory,
}
OF_TOOL: dict[str, dict[str, Any]] = {
    "labelstudio": {
        "url": "https://tool.invalid/label",
        "project": "7",
        "item": "trace_id",
        "predictions": True,
    },
    "mlflow": {"experiments": ["1"]},
    "phoenix": {"project": PROJECT},
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
    await read_to_the_end(source, full)
    if any(report.notes for report in await read_to_the_end(source, full)) or not history.meaning():
        await read_to_the_end(source, PullRequest(full=True, confirm_empty=True))


async def read_to_the_end(source: PulledSource, request: PullRequest) -> list[StreamReport]:
    """Pull until no reading is left unfinished, and return the last reports."""
    for _ in range(200):
        reports = await source.pull.run(request)
        assert [report.error for report in reports if report.error] == []
        if not any(report.unfinished for report in reports):
            return reports
    raise AssertionError("the readings do not end")


async def check(directory: Path, tool: str, seed: int) -> None:
    """Compare what was published with what the store means."""
    random = Random(seed)
    history = HISTORIES[tool](random, FakeClock(RECEIVED))
    source = PulledSource(directory, history.tool, pulled_settings(directory, tool, **CONFIG, **OF_TOOL.get(tool, {})))
    try:
        await live(history, source, random)
        assert source.rows() == history.meaning()
    finally:
        source.store.close()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:  # noqa: ARG001 -- no time passes
    for tool in HISTORIES:
        monkeypatch.setattr(f"sources.pulls.tools.{tool}.LIMIT", 4)
    monkeypatch.setattr("sources.pulls.tools.phoenix.SPAN_LIMIT", 4)


@pytest.mark.parametrize("tool", HISTORIES)
@pytest.mark.parametrize("seed", FEW)
async def test_what_is_published_is_what_the_tool_has(tmp_path: Path, tool: str, seed: int) -> None:
    await check(tmp_path, tool, seed)


@pytest.mark.parametrize("tool", HISTORIES)
@pytest.mark.parametrize("seed", FEW[:2])
async def test_what_is_published_is_what_the_tool_has_when_a_pull_reads_little(
    tmp_path: Path, tool: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.pulls.reading.MAX_RECORDS", 40)
    monkeypatch.setattr("sources.pulls.reading.MAX_REQUESTS", 12)
    await check(tmp_path, tool, seed)


@pytest.mark.slow
@pytest.mark.parametrize("tool", HISTORIES)
def test_what_is_published_is_what_the_tool_has_in_many_histories(tmp_path: Path, tool: str) -> None:
    for seed in MANY:
        (tmp_path / str(seed)).mkdir()
        asyncio.run(check(tmp_path / str(seed), tool, seed))
