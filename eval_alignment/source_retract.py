"""`source retract`: takes back everything that a source stated."""

import asyncio

import click
from aiokafka.errors import KafkaError

from eval_alignment import kafka_wiring
from eval_alignment.settings import Settings
from eval_alignment.source_access import open_source
from sources.intake.intake import Taken
from sources.records import UnknownShapeError
from streams.kafka.topics import TopicsError


def retract_source(chosen: Settings, name: str) -> Taken:
    """Take back everything that a source stated.

    Returns what was sent. Raises UnknownNameError, ClickException.
    """
    try:
        return asyncio.run(_retract(chosen, name))
    except (TopicsError, UnknownShapeError) as error:
        raise click.ClickException(str(error)) from error
    except (KafkaError, TimeoutError) as error:
        raise kafka_wiring.failure(chosen, error) from error


async def _retract(chosen: Settings, name: str) -> Taken:
    async with open_source(chosen, name) as source:
        return await source.retract()
