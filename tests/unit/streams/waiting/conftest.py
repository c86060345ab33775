"""What the tests of the store on disk share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.requirements import Requirements
from tests.support.small_disks import mounted


@pytest.fixture
def small_disk(tmp_path: Path, requirements: Requirements) -> Iterator[Path]:
    """A file system of 16 MB."""
    with mounted(tmp_path / "disk", "16m", requirements) as disk:
        yield disk
