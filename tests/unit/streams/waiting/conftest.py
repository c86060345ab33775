"""What the tests of the store on disk share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from streams.waiting.rocks import RocksStore
from tests.support.requirements import Requirements
from tests.support.rocks_stores import opened_store
from tests.support.small_disks import mounted


@pytest.fixture
def small_disk(tmp_path: Path, requirements: Requirements) -> Iterator[Path]:
    """A file system of 16 MB."""
    with mounted(tmp_path / "disk", "16m", requirements) as disk:
        yield disk


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of a store."""
    return tmp_path / "data" / "waiting" / "worker-0"


@pytest.fixture
async def store(directory: Path) -> AsyncIterator[RocksStore]:
    """An open store, closed after the test."""
    store = opened_store(directory)
    yield store
    await store.close()
