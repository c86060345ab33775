"""Sources whose tools are fake."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx

from sources.pulls.pull import PulledPage, Stream
from sources.pulls.registry import open_streams
from sources.rules import SourceSettings
from tests.support.fake_tools import langfuse, langsmith

CREDENTIALS = {
    "langfuse": {"LANGFUSE_PUBLIC_KEY": langfuse.PUBLIC_KEY, "LANGFUSE_SECRET_KEY": langfuse.SECRET_KEY},
    "langsmith": {"LANGSMITH_API_KEY": langsmith.API_KEY},
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


async def read(pages: AsyncIterator[PulledPage]) -> list[PulledPage]:
    """All pages of a reading."""
    return [page async for page in pages]
