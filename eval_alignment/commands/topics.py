"""`topics`: create the topics, or tell how they differ from the table."""

import asyncio
import sys

import click
from aiokafka.errors import KafkaError

from eval_alignment import settings, wiring
from eval_alignment.options import broker_option
from streams.kafka import topics as table


@click.group()
def topics() -> None:
    """Create the topics with their settings, or compare them."""


@topics.command()
@broker_option
@click.option("--partitions", type=click.IntRange(1, 1024), help="P, once and for all.  [setting: partitions]")
def apply(brokers: str | None, partitions: int | None) -> None:
    """Create the topics that are missing. Refuses to change the number of partitions."""
    chosen = settings.load(brokers=brokers, partitions=partitions)
    client, names = wiring.client(chosen), wiring.topics(chosen)
    try:
        created = asyncio.run(table.apply(client.settings, names, wiring.partitions(chosen), chosen.replication_factor))
    except table.TopicsError as error:
        raise click.ClickException(str(error)) from error
    except (KafkaError, TimeoutError) as error:
        raise wiring.failed(chosen, error) from error
    for name in created:
        click.echo(f"created {name}")
    if not created:
        click.echo("all topics exist")


@topics.command()
@broker_option
def diff(brokers: str | None) -> None:
    """Name everything in which the topics differ from the table. Exit 0: nothing, 1: something."""
    chosen = settings.load(brokers=brokers)
    client, names = wiring.client(chosen), wiring.topics(chosen)
    try:
        differences = asyncio.run(table.diff(client.settings, names))
    except (KafkaError, TimeoutError) as error:
        raise wiring.failed(chosen, error) from error
    for difference in differences:
        click.echo(str(difference))
    if not differences:
        click.echo("no differences")
    sys.exit(bool(differences))
