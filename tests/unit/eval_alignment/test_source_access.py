"""How a command sends what the records of a source became."""

from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from eval_alignment.source_access import CommandPublisher
from ingest.publish import TooLargeForBrokerError
from streams.kafka.producer import Outgoing


class _Producer:
    async def send(self, *_: object, **__: object) -> None:
        raise MessageSizeTooLargeError


async def test_what_is_too_large_is_told_apart() -> None:
    producer: Any = _Producer()
    publisher = CommandPublisher(producer)
    with pytest.raises(TooLargeForBrokerError, match=r"max\.message\.bytes"):
        await publisher.publish([Outgoing("t", b"{}", b"i1")])
