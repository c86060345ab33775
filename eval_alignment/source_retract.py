"""`source retract`: takes back everything that a source stated."""

import click

from eval_alignment import kafka_wiring
from eval_alignment.settings import Settings
from eval_alignment.source_access import open_source
from sources.intake.intake import IntakeResult
from sources.records import UnknownShapeError


def retract_source(chosen: Settings, name: str) -> IntakeResult:
    """Take back everything that a source stated.

    Returns what was sent. Raises UnknownNameError, ClickException.
    """
    try:
        return kafka_wiring.run(chosen, _retract(chosen, name))
    except UnknownShapeError as error:
        raise click.ClickException(str(error)) from error


async def _retract(chosen: Settings, name: str) -> IntakeResult:
    async with open_source(chosen, name) as source:
        return await source.retract()
