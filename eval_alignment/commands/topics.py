"""`topics`: creates the topics, or compares them with their table."""

import asyncio
import sys

import click
from aiokafka.errors import KafkaError

from eval_alignment import kafka_wiring, settings, wiring
from eval_alignment.options import broker_option
from streams.kafka import topics as table
from streams.kafka.client import KafkaClient


@click.group(short_help="Create the topics, or compare them with their definition.")
def topics() -> None:
    """Create the topics, or compare them with what the product needs."""


@topics.command()
@broker_option
@click.option(
    "--partitions",
    type=click.IntRange(1, 1024),
    help="Number of partitions; it cannot change later.  [setting: partitions]",
)
def apply(brokers: str | None, partitions: int | None) -> None:
    """Create missing topics. Existing topics are not changed; a different number of partitions is an error.

    Where settings of an existing topic differ from docs/topics.md, it prints the command of Apache Kafka that corrects
    them.
    """
    chosen = settings.load(brokers=brokers, partitions=partitions)
    client, names = kafka_wiring.client(chosen), kafka_wiring.topics(chosen)
    try:
        created, comparison = asyncio.run(_apply(chosen, client, names))
    except table.TopicsError as error:
        raise click.ClickException(str(error)) from error
    except (KafkaError, TimeoutError) as error:
        raise kafka_wiring.failure(chosen, error) from error
    for name in created:
        click.echo(f"created {name}")
    if not created:
        click.echo("all topics exist")
    for name, configs in comparison.settings.items():
        click.echo(f"settings of {name} differ; to correct them:")
        click.echo(f"  {table.alter_command(chosen.brokers, name, configs)}")


async def _apply(
    chosen: settings.Settings, client: KafkaClient, names: table.Topics
) -> tuple[list[str], table.TopicsDiff]:
    created = await table.apply(
        client.settings, names, wiring.partitions(chosen), chosen.replication_factor, chosen.wait_days
    )
    return created, await table.diff(client.settings, names, wait_days=chosen.wait_days)


@topics.command()
@broker_option
def diff(brokers: str | None) -> None:
    """List the differences between the topics and docs/topics.md. Exit code 0: no difference. 1: some."""
    chosen = settings.load(brokers=brokers)
    client, names = kafka_wiring.client(chosen), kafka_wiring.topics(chosen)
    try:
        comparison = asyncio.run(table.diff(client.settings, names, wait_days=chosen.wait_days))
    except (KafkaError, TimeoutError) as error:
        raise kafka_wiring.failure(chosen, error) from error
    for difference in comparison.differences:
        click.echo(str(difference))
    for name in comparison.unreported:
        click.echo(f"{name}: the broker does not report all settings; those are not compared", err=True)
    if not comparison.differences:
        click.echo("no differences")
    sys.exit(bool(comparison.differences))
