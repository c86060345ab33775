"""An ingest application in this process."""

from collections.abc import AsyncIterator

import pytest

from tests.support.ingest import Door, open_door


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """An application with the default limits."""
    async with open_door() as opened:
        yield opened
