"""Fixtures of the fault tests: a rig, and a wire, on the shared Apache Kafka."""

from collections.abc import Iterator

import pytest

from tests.integration.streams.conftest import rig
from tests.support.kafka import Kafka
from tests.support.wire import Wire

__all__ = ["rig", "wire"]


@pytest.fixture
def wire(kafka: Kafka) -> Iterator[Wire]:
    """A synchronous client of the shared broker."""
    with Wire(kafka.bootstrap) as opened:
        yield opened
