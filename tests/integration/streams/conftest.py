"""A rig on the shared Apache Kafka."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.streams.rig import Rig
from tests.support.kafka import Kafka


@pytest.fixture
async def rig(kafka: Kafka, prefix: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """Topics and a group of its own; its workers are killed at the end."""
    async with Rig(kafka.bootstrap, prefix, tmp_path) as rig:
        yield rig
