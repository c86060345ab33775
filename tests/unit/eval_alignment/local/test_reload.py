"""Rows of a store become events that the worker accepts again."""

import asyncio

from aggregator.facts import Annotation
from eval_alignment.local import reload
from streams.events.decoder import Decoder, Kind
from streams.kafka.topics import Topics

SECONDS = Annotation(1_772_452_800, "a1", "support", "t1", thumbs="up")
MILLISECONDS = Annotation(1_772_452_800_000, "a2", "support", "t1", thumbs="up")


def test_a_row_with_a_time_that_events_may_not_have_as_an_integer_is_accepted_again() -> None:
    async def events() -> list[bytes | None]:
        return [event.value async for event in reload._events((SECONDS, MILLISECONDS), Topics())]

    decoded = [Decoder().decode(Kind.ANNOTATION, value, b"t1") for value in asyncio.run(events())]
    assert decoded == [SECONDS, MILLISECONDS]
