"""The tools whose records can be pulled, by the name in the setting `tool`."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from sources.pulls.connection import Connection
from sources.pulls.credentials import Credentials
from sources.pulls.pull import PullError, Stream
from sources.pulls.tools import labelstudio, langfuse, langsmith, mlflow, phoenix
from sources.registry import TOOLS
from sources.rules import SourceSettings


def _none(_settings: SourceSettings) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class PulledTool:
    """How the records of a tool are pulled."""

    streams: Callable[[Connection, SourceSettings], Sequence[Stream]]
    """Its streams, for a source of this tool."""
    authenticate: Callable[[Credentials], httpx.Auth | None]
    """What authenticates its requests. Raises CredentialsError."""
    url: str | None = None
    """Base address of its hosted service; None: a source must set `url`."""
    problems: Callable[[SourceSettings], Iterable[str]] = _none
    """What a pull lacks in the settings of a source, each as `KEY: problem`; `source check` needs none of it."""


PULLED_TOOLS: Final[Mapping[str, PulledTool]] = {
    "labelstudio": PulledTool(labelstudio.streams, labelstudio.authenticate, problems=labelstudio.problems),
    "langfuse": PulledTool(langfuse.streams, langfuse.authenticate, langfuse.URL),
    "langsmith": PulledTool(langsmith.streams, langsmith.authenticate, langsmith.URL),
    "mlflow": PulledTool(mlflow.streams, mlflow.authenticate, problems=mlflow.problems),
    "phoenix": PulledTool(phoenix.streams, phoenix.authenticate, problems=phoenix.problems),
}


def can_be_pulled(settings: SourceSettings) -> bool:
    """Whether records of the tool of a source can be pulled."""
    return settings.tool in PULLED_TOOLS


def is_pulled(settings: SourceSettings) -> bool:
    """Whether a source is to be pulled regularly: its settings have an address or credentials."""
    return can_be_pulled(settings) and (settings.url is not None or settings.credentials_file is not None)


@contextlib.asynccontextmanager
async def open_streams(
    name: str, settings: SourceSettings, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Sequence[Stream]]:
    """The streams of a source, with an open connection. The credentials file is read each time.

    Args:
        name: of the source.
        settings: of the source.
        transport: replaces httpx's own, for tests.

    Raises PullError for a source that cannot be pulled as it is configured, CredentialsError for its credentials.
    """
    tool = PULLED_TOOLS.get(settings.tool)
    if tool is None:
        title = TOOLS[settings.tool].title
        known = ", ".join(sorted(PULLED_TOOLS))
        raise PullError(f"source {name!r}: records of {title} cannot be pulled, only those of {known}")
    url = settings.url or tool.url
    missing = [] if url else ["url: not set"]
    if problems := [*missing, *tool.problems(settings)]:
        raise PullError("; ".join(f"sources.{name}.{problem}" for problem in problems))
    credentials = Credentials(name, settings.credentials_file)
    async with Connection(url or "", credentials, tool.authenticate(credentials), transport) as connection:
        yield tool.streams(connection, settings)
