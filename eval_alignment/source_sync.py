"""`source sync`: pulls the records of a source from its tool."""

import asyncio
from collections.abc import Iterator, Sequence

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from aggregator.days import timestamp
from eval_alignment import kafka_wiring, wiring
from eval_alignment.input_checks import now_ms
from eval_alignment.settings import Settings
from eval_alignment.source_access import RunnableSource, open_source
from eval_alignment.terminal_text import printable
from sinks.page.formats import plural
from sources.pulls.pull import PullError
from sources.pulls.registry import PULLED_TOOLS, can_be_pulled
from sources.pulls.sync import PullRequest, StreamReport
from sources.registry import TOOLS


def sync_source(chosen: Settings, name: str, request: PullRequest, *, watch: bool) -> bool:
    """Pull a source once, or by its interval until interrupted, and print what became of its records.

    Returns whether every stream was read to its end, and nothing needs a confirmation. Raises UnknownNameError,
    ClickException, PullError, CredentialsError.
    """
    tool = wiring.source(chosen, name).rules.settings.tool
    if not can_be_pulled(chosen.sources[name]):
        raise click.UsageError(
            f"records of {TOOLS[tool].title} cannot be pulled, only those of {', '.join(sorted(PULLED_TOOLS))}"
        )
    return kafka_wiring.run(chosen, _sync(chosen, name, request, watch=watch))


async def _sync(chosen: Settings, name: str, request: PullRequest, *, watch: bool) -> bool:
    async with open_source(chosen, name) as source:
        if not watch:
            return await _once(source, request)
        while True:
            try:
                await _once(source, request)
            except PullError as error:
                click.echo(printable(f"{timestamp(now_ms())}: {error}"), err=True)
            request = PullRequest()
            await asyncio.sleep(chosen.sources[name].interval_s)


async def _once(source: RunnableSource, request: PullRequest) -> bool:
    with _progress() as progress:
        bars: dict[str, TaskID] = {}

        def observe(report: StreamReport) -> None:
            if report.stream not in bars:
                bars[report.stream] = progress.add_task(printable(report.stream), total=None, detail="")
            done, total = _share(report)
            detail = f"{report.records:,} records, {report.events:,} events"
            progress.update(bars[report.stream], completed=done, total=total, detail=detail)

        reports = await source.sync(request, observe)
    for report in reports:
        click.echo(printable(f"{report.stream}: {', '.join(_parts(report))}"))
        for problem in _problems(report):
            click.echo(printable(f"{report.stream}: {problem}"), err=True)
    if not reports:
        click.echo("nothing is due yet")
    return not any(True for report in reports for _ in _problems(report))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _share(report: StreamReport) -> tuple[float, float | None]:
    """What was read and what there is, by time: lists have the newest records first. None: not known."""
    if report.since is None or report.reached is None:
        return 0, None
    now = now_ms()
    return max(0, now - report.reached), max(1, now - report.since)


def _parts(report: StreamReport) -> Iterator[str]:
    """The totals by result."""
    yield plural(report.records, "record")
    yield f"{plural(report.events, 'event')} acknowledged"
    if report.vanished:
        yield f"{report.vanished:,} vanished"
    for reason, count in sorted(report.skipped.items(), key=lambda each: -each[1]):
        yield f"{count:,} skipped ({reason})"
    if report.rejected:
        yield f"{report.rejected:,} rejected"
    if report.unchanged:
        yield f"{plural(report.unchanged, 'record')} unchanged"


def _problems(report: StreamReport) -> Sequence[str]:
    """What a person should know."""
    return [*report.notes, *([] if report.error is None else [f"not read to the end: {report.error}"])]
