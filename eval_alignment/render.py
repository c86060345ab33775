"""Prints snapshot documents as tables: the numbers of the page, and a dash with its reason for an undefined one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aggregator.names import alike_in
from aggregator.snapshot.schema import Cards, CriterionDocument, MetricDocument, SnapshotDocument
from aggregator.statistics.confusion import Undefined
from eval_alignment.metric_words import ceiling_sentence, sentences
from eval_alignment.terminal_text import DASH, interval, percent, printable
from sinks.page.formats import plural
from sinks.page.wording import alike_names, rebuilding_words, waiting_words

if TYPE_CHECKING:
    from eval_alignment.insights import InsightSource

    # Loads an HTTP framework.
    from sinks.api.responses import QueueListing
    from sinks.queries.results import Insights, WaitingTotals

_WIDE: Final = 132
"""Width from which one table has all numbers of a metric."""
_UNLIMITED: Final = 100_000


def output_console() -> Console:
    """Standard output. Tables wrap on a terminal only: a pipe or file gets one line per row."""
    console = Console()
    return console if console.is_terminal else Console(width=_UNLIMITED)


def _own_limits(document: SnapshotDocument) -> str:
    """Pass limits of criteria that have one of their own."""
    return "".join(
        f", {printable(criterion['criterion'])} from {criterion['pass_stars']}"
        for criterion in document["criteria"]
        if "pass_stars" in criterion
    )


def render(
    document: SnapshotDocument, console: Console, source: "InsightSource | None" = None, *, funnel: bool = True
) -> None:
    """Print a document: its cards, then the metrics of each criterion, in the order of the document.

    With a source of insights the words about a metric include them. Without `funnel`, the cards about queue items are
    left out. Raises what the source raises.
    """
    console.print(
        Text.assemble(
            (printable(document["queue"]), "bold"),
            f"   window {document['window']}, policy {document['policy']}, ",
            f"pass from {document['pass_stars']} stars{_own_limits(document)}, as of {document['as_of']}",
        ),
        soft_wrap=True,
    )
    if rebuilding := document.get("rebuilding"):
        console.print(Text(rebuilding_words(rebuilding)))
    _print_cards(document["cards"], console, _CARDS | _FUNNEL_CARDS if funnel else _CARDS)
    for criterion in document["criteria"]:
        console.print()
        insights = source.insights(document, criterion) if source is not None and criterion["comparisons"] else None
        _print_criterion(criterion, console, insights)
    for found in alike_in(document):
        console.print(Text(alike_names(found, printable)))


def render_waiting(waiting: "WaitingTotals", console: Console) -> None:
    """Print what waits for an annotation, and that it is read again."""
    lines = [waiting_words(waiting, printable), rebuilding_words(n) if (n := waiting["rebuilding"]) else ""]
    for line in filter(None, lines):
        console.print(Text(line))


def render_list(queues: "Sequence[QueueListing]", console: Console) -> None:
    """Print the queues with their cards for window `all`."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("queue", overflow="fold")
    for name in ("alignment", "interval", "comparisons", "misaligned", "items", "annotations"):
        table.add_column(name, justify="right", no_wrap=True)
    for listing in queues:
        cards = listing["cards"]
        table.add_row(
            Text(printable(listing["queue"])),
            percent(cards["alignment"]),
            interval(cards["alignment_low"], cards["alignment_high"]),
            str(cards["comparisons"]),
            str(cards["misaligned"]),
            str(cards["items_compared"]),
            str(cards["annotations"]),
        )
    console.print(table)
    undefined = [(printable(listing["queue"]), listing["cards"]["undefined"]) for listing in queues]
    _print_reasons(undefined, {"alignment"}, console)


_CARDS: Final[dict[str, Callable[[Cards], str]]] = {
    "alignment": lambda c: f"{percent(c['alignment'])}  ({interval(c['alignment_low'], c['alignment_high'])})",
    "comparisons": lambda c: f"{c['comparisons']}, {c['misaligned']} misaligned",
    "items": lambda c: f"{c['items_compared']} compared of {c['items_annotated']} annotated",
    "annotations": lambda c: f"{c['annotations_contributing']} contributing of {c['annotations']}",
    "criteria, metrics": lambda c: f"{c['criteria']}, {c['metrics']}",
}
_FUNNEL_CARDS: Final[dict[str, Callable[[Cards], str]]] = {
    "items announced": lambda c: _count(c["items_queued"]),
    "waiting for evaluation": lambda c: _count(c["items_waiting_evaluation"]),
    "only errors": lambda c: _count(c["items_errored"]),
    "waiting for annotation": lambda c: _count(c["items_waiting_annotation"]),
}


def _print_cards(cards: Cards, console: Console, shown: Mapping[str, Callable[[Cards], str]]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for name, text in shown.items():
        grid.add_row(name, text(cards))
    console.print(grid)
    fields = cards["undefined"].keys() if shown.keys() >= _FUNNEL_CARDS.keys() else {"alignment"}
    _print_reasons([("", cards["undefined"])], fields, console)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table of metrics."""

    title: str
    fields: tuple[str, ...]
    """Fields of the document whose reason is printed when they are undefined."""
    text: Callable[[MetricDocument], str]


_AGREEMENT: Final = (
    _Column("alignment", ("alignment",), lambda m: percent(m["alignment"])),
    _Column("interval", (), lambda m: interval(m["alignment_low"], m["alignment_high"])),
    _Column("baseline", ("baseline",), lambda m: percent(m["baseline"])),
    _Column("n", (), lambda m: str(m["comparisons"])),
    _Column("misaligned", (), lambda m: str(m["misaligned"])),
    _Column(
        "gate", ("gate_state",), lambda m: DASH if m["gate_state"] is None else m["gate_state"].value.replace("_", " ")
    ),
)
_MATRIX: Final = (
    _Column("items", (), lambda m: str(m["items_compared"])),
    _Column("tp", (), lambda m: str(m["tp"])),
    _Column("fn", (), lambda m: str(m["fn"])),
    _Column("fp", (), lambda m: str(m["fp"])),
    _Column("tn", (), lambda m: str(m["tn"])),
    _Column("kappa", ("kappa",), lambda m: DASH if m["kappa"] is None else f"{m['kappa']:.2f}"),
    _Column("tpr", ("tpr",), lambda m: percent(m["tpr"])),
    _Column("tnr", ("tnr",), lambda m: percent(m["tnr"])),
    _Column("bias", ("bias",), lambda m: DASH if m["bias"] is None else f"{100 * m['bias']:+.1f} pts"),
)


def _print_criterion(criterion: CriterionDocument, console: Console, insights: "Insights | None") -> None:
    console.print(
        Text.assemble(
            (printable(criterion["criterion"]), "bold"),
            f"   alignment {percent(criterion['alignment'])}, {plural(criterion['comparisons'], 'comparison')} of ",
            f"{plural(criterion['items_compared'], 'item')}, {criterion['annotations_contributing']} of ",
            f"{plural(criterion['annotations'], 'annotation')} contributing",
        ),
        soft_wrap=True,
    )
    metrics = criterion["metrics"]
    if console.width >= _WIDE:
        console.print(_metrics((*_AGREEMENT[:-1], *_MATRIX, _AGREEMENT[-1]), metrics))
    else:
        console.print(_metrics(_AGREEMENT, metrics))
        console.print(_metrics(_MATRIX, metrics))
    for metric in metrics:
        console.print(Text(f"{printable(metric['metric'])}: {' '.join(sentences(metric, insights))}"))
    if (words := ceiling_sentence(insights)) is not None:
        console.print(Text(words))
    shown = {field for column in (*_AGREEMENT, *_MATRIX) for field in column.fields}
    _print_reasons([(printable(metric["metric"]), metric["undefined"]) for metric in metrics], shown, console)


def _metrics(columns: Sequence[_Column], metrics: Sequence[MetricDocument]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("metric", overflow="fold", min_width=10)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    for metric in metrics:
        style = "dim" if metric["off_topic"] else ""
        table.add_row(Text(printable(metric["metric"])), *(column.text(metric) for column in columns), style=style)
    return table


def _print_reasons(
    undefined: Sequence[tuple[str, Mapping[str, Undefined]]], shown: Collection[str], console: Console
) -> None:
    """Print a line per name and reason: the undefined numbers among `shown`, and the reason."""
    for name, reasons in undefined:
        by_reason: dict[Undefined, list[str]] = {}
        for field, reason in reasons.items():
            if field in shown:
                by_reason.setdefault(reason, []).append(field)
        for reason, fields in by_reason.items():
            subject = f"{name}: " if name else ""
            text = f"{DASH} {subject}{', '.join(fields)}: {reason.value.replace('_', ' ')}"
            console.print(Text(text, style="dim"), soft_wrap=True)


def _count(value: int | None) -> str:
    return DASH if value is None else str(value)
