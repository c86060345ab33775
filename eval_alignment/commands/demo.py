"""`demo`: `up` in a temporary directory, with a stream of sample events."""

import asyncio
import socket
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import click
import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aggregator.snapshot.schema import SnapshotDocument
from eval_alignment import settings
from eval_alignment.local.sample import Sample, SampleEvent
from eval_alignment.local.supervisor import Supervisor, UpError
from eval_alignment.options import EMBEDDED_BROKER_PORT, http_option
from eval_alignment.view_client import UnreachableError, View
from streams.events.decoder import Kind
from streams.kafka.producer import producer

EVENTS_A_SECOND: Final = 20
_PLAIN_SECONDS: Final = 5.0
_COLUMNS: Final = """
agree, 95 %: how often metric and person agree, and its confidence interval
n: comparisons; strict: metric fails, person passes; lenient: the reverse
gate: may the metric replace people? undecided, not trusted, probation, trusted
Ctrl-C ends the demo, and prints the commands for your own events"""
_WHAT_TO_SEE: Final = """\
What to look at on the page:
  Support replies  one metric is trusted, one too strict, one too lenient; worse in German
  Code review bot  the newest version of correctness_judge is worse than the one before
  Marketing copy   people disagree among themselves, so no metric can be judged
"""
_NEXT_STEPS: Final = f"""\
The demo has stopped. Nothing was kept. Next, with your own data:
  eval-alignment check results.csv     compares the labels and verdicts of a table
  eval-alignment schema annotation     prints the format of an event
  eval-alignment up                    starts an installation
  eval-alignment load --broker 127.0.0.1:{EMBEDDED_BROKER_PORT} events.ndjson"""


@click.command()
@http_option("http", "127.0.0.1:8390, or a free port")
@click.option(
    "--embedded-broker-port",
    type=click.IntRange(1, 65535),
    help=f"Port of the embedded broker, default {EMBEDDED_BROKER_PORT}, or a free port.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 1000),
    default=EVENTS_A_SECOND,
    show_default=True,
    help="Events a second.",
)
def demo(http: str | None, embedded_broker_port: int | None, rate: int) -> None:
    """Run an installation with sample events until Ctrl-C. Nothing is kept."""
    with tempfile.TemporaryDirectory(prefix="eval-alignment-demo-") as directory:
        port = embedded_broker_port or _free(EMBEDDED_BROKER_PORT)
        chosen = settings.load(
            data_dir=Path(directory),
            http=http or f"127.0.0.1:{_free(8390)}",
            brokers=f"127.0.0.1:{port}",
        )
        console = Console()

        async def play(supervisor: Supervisor) -> None:
            console.print(_WHAT_TO_SEE, highlight=False, soft_wrap=True)
            await asyncio.gather(_produce(supervisor, rate), _show(supervisor, console))

        try:
            asyncio.run(Supervisor(chosen, port, console.print, play).run())
        except UpError as error:
            raise click.ClickException(str(error)) from error
    console.print(_NEXT_STEPS, highlight=False, soft_wrap=True)


def _free(port: int) -> int:
    """This port, or a free one when it is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _now() -> int:
    return time.time_ns() // 1_000_000


async def _produce(supervisor: Supervisor, rate: int) -> None:
    by_kind = {kind: topic for topic, kind in supervisor.topics.sources.items()}
    sample = Sample()

    async with producer(supervisor.client) as out:

        async def send(events: Iterator[SampleEvent]) -> None:
            sent = [
                await out.send(by_kind[Kind(event["kind"])], orjson.dumps(event), key=event["item"].encode())
                for event in events
            ]
            for acknowledged in sent:
                await acknowledged

        await send(sample.history(_now()))
        live = sample.live(_now)
        while True:
            await send(islice(live, max(1, rate // 5)))
            await asyncio.sleep(0.2)


async def _show(supervisor: Supervisor, console: Console) -> None:
    """Print the queues until cancelled: a table that is redrawn, or lines where standard output is not a terminal."""
    with View(f"http://{supervisor.settings.http}") as view:
        if not console.is_terminal:
            while True:
                for document in await asyncio.to_thread(_documents, view):
                    cards = document["cards"]
                    share = "-" if cards["alignment"] is None else f"{cards['alignment']:.1%}"
                    console.print(f"{document['queue']}: alignment {share}, {cards['comparisons']} comparisons")
                await asyncio.sleep(_PLAIN_SECONDS)
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            while True:
                # The supervisor restarts a view that ends; the last table stays meanwhile.
                if documents := await asyncio.to_thread(_documents, view):
                    live.update(_table(documents))
                await asyncio.sleep(1)


def _documents(view: View) -> list[SnapshotDocument]:
    """The documents of all queues; empty while the view does not answer."""
    try:
        return [view.document(listing["queue"]) for listing in view.queues()]
    except UnreachableError:
        return []


def _table(documents: list[SnapshotDocument]) -> Group:
    """A row per criterion and metric, below its queue. Fits a terminal of 80 columns and 24 lines without cut names."""
    table = Table(
        title="Alignment with people, live",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    table.add_column("criterion / metric", no_wrap=True)
    for name in ("agree", "95 %", "n", "strict", "lenient"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    for document in documents:
        table.add_row(Text(document["queue"], style="bold"))
        for criterion in document["criteria"]:
            for metric in criterion["metrics"]:
                undefined = metric["alignment"] is None
                table.add_row(
                    Text(f"{criterion['criterion']} / {metric['metric']}"),
                    "-" if undefined else f"{metric['alignment']:.1%}",
                    "-" if undefined else f"{metric['alignment_low']:.0%}-{metric['alignment_high']:.0%}",
                    str(metric["comparisons"]),
                    str(metric["fn"]),
                    str(metric["fp"]),
                    str(metric["gate_state"] or "-").replace("_", " "),
                )
    return Group(table, Text(_COLUMNS, style="dim"))
