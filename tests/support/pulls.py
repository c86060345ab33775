"""Sources whose tools are fake, pulled into an index in a file and a broker in memory."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx

from aggregator import facts
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from sources.intake.intake import Delivery, SourceIntake
from sources.intake.store import IndexStore
from sources.meaning import Rules
from sources.pulls.pull import PulledPage, Stream
from sources.pulls.reading import PullReading
from sources.pulls.registry import open_streams
from sources.pulls.sync import PullClocks, SourcePull
from sources.registry import TOOLS
from sources.rules import SourceSettings
from sources.source import ToolSource
from streams.events.decoder import Decoder
from tests.support.fake_tools import labelstudio, langfuse, langsmith, mlflow, phoenix
from tests.support.fake_tools.base import FakeTool

CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "labelstudio": {"LABEL_STUDIO_API_KEY": labelstudio.TOKEN},
    "langfuse": {"LANGFUSE_PUBLIC_KEY": langfuse.PUBLIC_KEY, "LANGFUSE_SECRET_KEY": langfuse.SECRET_KEY},
    "langsmith": {"LANGSMITH_API_KEY": langsmith.API_KEY},
    "mlflow": {"MLFLOW_TRACKING_TOKEN": mlflow.TOKEN},
    "phoenix": {"PHOENIX_API_KEY": phoenix.API_KEY},
}


def pulled_settings(tmp_path: Path, tool: str, **config: Any) -> SourceSettings:
    """The settings of a source that can be pulled; `config` has the keys of `[sources.NAME]`."""
    path = tmp_path / f"{tool}.toml"
    path.write_text("".join(f'{key} = "{value}"\n' for key, value in CREDENTIALS[tool].items()))
    values = {"tool": tool, "url": "https://tool.invalid", "credentials_file": str(path), **config}
    return SourceSettings.model_validate(values)


def opened(
    settings: SourceSettings, transport: httpx.AsyncBaseTransport
) -> AbstractAsyncContextManager[Sequence[Stream]]:
    """The streams of a fake tool."""
    return open_streams("support", settings, transport)


async def read(stream: Stream, since: int | None) -> list[PulledPage]:
    """All pages of a reading."""
    return [page async for page in stream.pages(PullReading(since))]


class MemoryBroker:
    """Keeps the events that it gets."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.lost_answers = 0
        """So many deliveries arrive, and are not acknowledged."""

    async def __call__(self, delivery: Delivery) -> None:
        """Take events. Raises ConnectionError for a delivery whose answer is lost."""
        self.facts += delivery.facts
        if self.lost_answers:
            self.lost_answers -= 1
            raise ConnectionError("no acknowledgement")


class PulledSource:
    """A source of a fake tool, with an index in a directory.

    Args:
        directory: for index and credentials.
        tool: answers.
        settings: of the source.
    """

    def __init__(self, directory: Path, tool: FakeTool, settings: SourceSettings) -> None:
        self.tool = tool
        self.broker = MemoryBroker()
        self.store = IndexStore(directory / "index")
        source = ToolSource(TOOLS[settings.tool], Rules(settings), Decoder())
        self.index = self.store.index(settings.prefix)
        self.intake = SourceIntake(source, self.broker, self.index)
        self.pull = SourcePull(
            "support", self.intake, PullClocks(tool.clock), lambda _, chosen: opened(chosen, tool.transport)
        )

    def rows(self) -> dict[tuple[str, ...], tuple[Any, ...]]:
        """What stands, as `row` has it."""
        return dict(map(row, standing(self.broker.facts)))


def standing(published: Iterable[Fact]) -> list[Fact]:
    """The rows that events leave, without those that are deleted. No failures of judges are expected."""
    latest: dict[bytes, Fact] = {}
    for fact in published:
        key = facts.key(fact)
        if key not in latest or facts.version(latest[key]) < facts.version(fact):
            latest[key] = fact
    return [fact for fact in latest.values() if not fact.deleted]


def row(fact: Fact) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Identity and content of a fact, without id and time."""
    match fact:
        case Annotation():
            key = ("annotation", fact.queue, fact.item, fact.criterion, fact.annotator)
            return key, (fact.thumbs or fact.stars, fact.explanation)
        case Evaluation():
            return ("evaluation", fact.item, fact.metric), (fact.score, fact.passed, fact.reason)
        case QueueItem():
            return ("queue item", fact.queue, fact.item), ()
