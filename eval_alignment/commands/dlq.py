"""`dlq`: lists, shows, requeues and acknowledges dead letters, and peeks at what would become one."""

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import click
import orjson
from rich.table import Table
from rich.text import Text

from aggregator.days import timestamp
from eval_alignment import kafka_wiring, settings, wiring
from eval_alignment.options import broker_option
from eval_alignment.render import output_console
from eval_alignment.terminal_text import printable
from sinks.page.formats import plural
from streams.events.reasons import Reason
from streams.kafka.acknowledgements import write_acknowledgements
from streams.kafka.client import KafkaClient
from streams.kafka.peek import peek as waiting_rejections
from streams.kafka.topics import Topics
from streams.requeue import BodyIdentity, DeadLetters, Identity, StoredDeadLetter, read_dead_letters, send_again

_Result = TypeVar("_Result")
_SHA256: Final = re.compile("[0-9a-f]{64}")

_reason_option = click.option(
    "--reason", type=click.Choice([reason.value for reason in Reason]), help="Only dead letters with this reason."
)


class _IdentityType(click.ParamType):
    """TOPIC:PARTITION:OFFSET of a rejected event in its source topic, or SOURCE:SHA256 of what ingest got."""

    name = "identity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Identity | BodyIdentity:
        source, _, digest = str(value).rpartition(":")
        if source and _SHA256.fullmatch(digest):
            return BodyIdentity(source, digest)
        topic, *numbers = str(value).rsplit(":", 2)
        if not topic or len(numbers) != 2 or not all(n.isascii() and n.isdecimal() for n in numbers):
            self.fail(
                f"{value!r} is neither TOPIC:PARTITION:OFFSET nor SOURCE:SHA256, as `dlq ls` prints it", param, ctx
            )
        return Identity(topic, int(numbers[0]), int(numbers[1]))


@click.group(short_help="List, show, requeue and acknowledge rejected events.")
def dlq() -> None:
    """List, show, requeue and acknowledge dead letters (rejected events).

    The name of a dead letter is the position of its event in the source topic: TOPIC:PARTITION:OFFSET. What `ingest`
    received for a source, and could not send, has the name SOURCE:SHA256.
    """


@dlq.command()
@broker_option
@_reason_option
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Number of dead letters to show, the newest ones.",
)
@click.option("--all", "everything", is_flag=True, help="Also those that are acknowledged.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def ls(*, brokers: str | None, reason: str | None, limit: int, everything: bool, as_json: bool) -> None:
    """List the dead letters that are not acknowledged.

    The newest is last, and a line below counts them by reason.
    """
    listed = _read(brokers, everything=everything)
    dead_letters = [dead_letter for dead_letter in listed.stored if reason in (None, dead_letter.reason)]
    shown = dead_letters[-limit:]
    if as_json:
        click.echo(orjson.dumps([_summary(dead_letter) for dead_letter in shown], option=orjson.OPT_INDENT_2))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("event", "time", "reason", "detail"):
        table.add_column(title, overflow="fold")
    for dead_letter in shown:
        cells = (str(dead_letter.identity), timestamp(dead_letter.timestamp), dead_letter.reason, dead_letter.detail)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    if shown:
        output_console().print(table)
    counts = Counter(dead_letter.reason for dead_letter in dead_letters)
    by_reason = ": " + ", ".join(f"{count} {printable(name)}" for name, count in counts.most_common()) if counts else ""
    newest = f"; showing the newest {limit}" if dead_letters[limit:] else ""
    acknowledged = f"; {listed.acknowledged} acknowledged (--all shows them)" if listed.acknowledged else ""
    click.echo(f"{_counted(dead_letters)}{by_reason}{newest}{acknowledged}")


@dlq.command()
@broker_option
@click.argument("identity", metavar="NAME", type=_IdentityType())
def show(brokers: str | None, identity: Identity | BodyIdentity) -> None:
    """Show one dead letter with its original bytes.

    Prints the reason, and key, headers and value as text.
    """
    matching = [one for one in _read(brokers, everything=True).stored if one.identity == identity]
    if not matching:
        raise click.ClickException(f"no dead letter of {printable(str(identity))}; `dlq ls --all` lists all")
    for number, dead_letter in enumerate(matching):
        if number:
            click.echo()
        _show(dead_letter)


def _show(dead_letter: StoredDeadLetter) -> None:
    click.echo(f"event    {printable(str(dead_letter.identity))}")
    click.echo(f"time     {timestamp(dead_letter.timestamp)}")
    click.echo(f"stage    {printable(dead_letter.stage)}")
    click.echo(f"reason   {printable(dead_letter.reason)}")
    click.echo(f"detail   {printable(dead_letter.detail)}")
    if dead_letter.left_out:
        click.echo(f"left out {', '.join(dead_letter.left_out)}: too large")
    click.echo(f"key      {_readable(dead_letter.key)}")
    for name, value in dead_letter.headers:
        click.echo(f"header   {printable(name)}: {_readable(value)}")
    click.echo(f"value    {_readable(dead_letter.value)}")


@dlq.command()
@broker_option
@_reason_option
@click.option("--all", "everything", is_flag=True, help="All that are not acknowledged.")
@click.option("--rekey", is_flag=True, help="Send the bytes of the item as the key.")
@click.argument("identities", metavar="[NAME]...", nargs=-1, type=_IdentityType())
def requeue(
    *,
    brokers: str | None,
    reason: str | None,
    everything: bool,
    rekey: bool,
    identities: tuple[Identity | BodyIdentity, ...],
) -> None:
    """Send rejected events again to their source topic.

    Select events by name; or, of those that are not acknowledged, all or all with a reason.

    Key, value and headers are the original bytes; the partition is the correct one for the item. An event is not sent
    when the worker would reject the same bytes again: its producer must correct the value, and `--rekey` corrects the
    key. The dead letters remain, and sending an event twice does not change the result. Exit code 0: the broker
    acknowledged all selected events. 1: some were not sent, and each is reported.
    """
    if not (everything or reason or identities):
        raise click.UsageError("name the dead letters: --all, --reason, or NAME")
    if everything and identities:
        raise click.UsageError("--all and NAME cannot be combined")
    stored = _read(brokers, everything=bool(identities)).stored
    known = {dead_letter.identity for dead_letter in stored}
    unsent = [f"{identity}: dead letter not found" for identity in identities if identity not in known]
    ready: list[StoredDeadLetter] = []
    chosen = settings.load(brokers=brokers)
    sources, decoder = kafka_wiring.topics(chosen).sources, wiring.decoder(chosen)
    for dead_letter in stored:
        if reason not in (None, dead_letter.reason) or (identities and dead_letter.identity not in identities):
            continue
        event = dead_letter.rekeyed(sources, decoder) if rekey else dead_letter
        if (obstacle := event.obstacle(sources, decoder)) is None:
            ready.append(event)
        else:
            unsent.append(f"{dead_letter.identity}: {obstacle}")
    sent = _run(brokers, lambda client, topics: send_again(client, topics, ready)) if ready else 0
    counts = Counter(dead_letter.identity.origin for dead_letter in ready)
    for topic, count in sorted(counts.items()):
        click.echo(f"{topic}: {count} acknowledged")
    for line in unsent:
        click.echo(printable(line), err=True)
    click.echo(f"{sent} sent again, {len(unsent)} not sent")
    if unsent:
        raise click.exceptions.Exit(1)


@dlq.command()
@broker_option
def ack(brokers: str | None) -> None:
    """Acknowledge all dead letters up to now.

    `dlq ls` and `doctor` then report only later ones. `dlq ls --all` still lists them, until the retention of their
    topic deletes them.
    """
    listed = _read(brokers, everything=False)
    group = wiring.acknowledgement_group(settings.load(brokers=brokers))
    _run(
        brokers,
        lambda client, topics: write_acknowledgements(client, group, topics.dead_letters, listed.acknowledgement),
    )
    click.echo(f"{_counted(listed.stored)} acknowledged")


@dlq.command()
@broker_option
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of events to show, the first ones."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def peek(*, brokers: str | None, limit: int, as_json: bool) -> None:
    """List waiting events that workers would reject.

    Reads the source topics from the committed offsets of the workers on, and decodes the events: what an open circuit
    breaker holds back. It joins no group, writes nothing, and can run while workers do.
    """
    chosen = settings.load(brokers=brokers)
    group, decoder = wiring.group(chosen), wiring.decoder(chosen)
    peeked = _run(brokers, lambda client, topics: waiting_rejections(client, topics, group, decoder, limit))
    if as_json:
        by_reason = [
            {"topic": topic, "reason": reason, "events": count}
            for (topic, reason), count in peeked.rejected.most_common()
        ]
        events = [
            {"event": one.place, "reason": one.reason, "detail": one.detail, "value": one.value} for one in peeked.first
        ]
        document = {"waiting": peeked.waiting, "rejected": by_reason, "events": events}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    for one in peeked.first:
        click.echo(str(one))
    total = peeked.rejected.total()
    by_reason_text = ", ".join(
        f"{count} {reason} in {printable(topic)}" for (topic, reason), count in peeked.rejected.most_common()
    )
    first = f"; showing the first {len(peeked.first)}" if total > len(peeked.first) else ""
    colon = f": {by_reason_text}" if total else ""
    click.echo(f"{plural(peeked.waiting, 'event')} waiting, {total} would be rejected{colon}{first}")


def _counted(dead_letters: Sequence[StoredDeadLetter]) -> str:
    return plural(len(dead_letters), "dead letter")


def _read(brokers: str | None, *, everything: bool) -> DeadLetters:
    """The dead letters, also the acknowledged ones if `everything`. Reports each problem on standard error."""
    group = None if everything else wiring.acknowledgement_group(settings.load(brokers=brokers))
    dead_letters = _run(brokers, lambda client, topics: read_dead_letters(client, topics, group))
    for problem in dead_letters.problems:
        click.echo(printable(problem), err=True)
    return dead_letters


def _run(brokers: str | None, job: Callable[[KafkaClient, Topics], Coroutine[Any, Any, _Result]]) -> _Result:
    chosen = settings.load(brokers=brokers)
    return kafka_wiring.run(chosen, job(kafka_wiring.client(chosen), kafka_wiring.topics(chosen)))


def _summary(dead_letter: StoredDeadLetter) -> dict[str, object]:
    return {
        "event": str(dead_letter.identity),
        **dead_letter.identity._asdict(),
        "time": timestamp(dead_letter.timestamp),
        "stage": dead_letter.stage,
        "reason": dead_letter.reason,
        "detail": dead_letter.detail,
        "key": None if dead_letter.key is None else dead_letter.key.decode(errors="backslashreplace"),
        "value_bytes": None if dead_letter.value is None else len(dead_letter.value),
        "left_out": dead_letter.left_out,
    }


def _readable(part: bytes | None) -> str:
    """Bytes as text for a terminal, line breaks kept."""
    if part is None:
        return "(none)"
    return "\n".join(printable(line) for line in part.decode(errors="backslashreplace").split("\n"))
