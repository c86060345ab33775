"""`load --source`: takes exports of a tool."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from aggregator.facts import LATEST_AT
from eval_alignment import kafka_wiring
from eval_alignment.input_checks import now_ms
from eval_alignment.load_wait import SourcePartition, ViewWait
from eval_alignment.settings import Settings
from eval_alignment.source_access import open_source
from eval_alignment.terminal_text import printable
from sinks.page.formats import plural
from sources.file_formats import READ_ERRORS, read_content
from sources.intake.intake import IntakeResult
from sources.records import UnknownShapeError
from streams.kafka.producer import source_partitions
from streams.kafka.scan import bounds

NO_RULE = frozenset({"no_rule", "role_unknown", "label_unmapped", "off_scale", "no_item", "no_queue"})
"""Reasons of skips that a rule in the settings would remedy."""


def load_files(chosen: Settings, name: str, paths: Sequence[Path], made: int | None, wait: ViewWait | None) -> bool:
    """Take files of a source, one after the other, and report what became of them.

    Args:
        chosen: the settings.
        name: the source.
        paths: files; `-` is standard input.
        made: when they were made, in milliseconds; None: when each was changed.
        wait: waits until the view shows them.

    Returns whether nothing was rejected. Raises ClickException.
    """
    if wait is not None:
        wait.check()
    valid, ends = kafka_wiring.run(chosen, _load(chosen, name, paths, made, waits=wait is not None))
    if wait is not None:
        wait.until_caught_up(ends)
    return valid


async def _load(
    chosen: Settings, name: str, paths: Sequence[Path], made: int | None, *, waits: bool
) -> tuple[bool, dict[SourcePartition, int]]:
    rejected = 0
    async with open_source(chosen, name) as source:
        for path in paths:
            content = _content(path)
            try:
                taken = await source.file(content, file_time(path, made))
            except UnknownShapeError as error:
                raise click.ClickException(f"{printable(str(path))}: {error}") from error
            rejected += taken.rejected
            for line in _words(str(path), name, taken):
                click.echo(printable(line), err=True)
            click.echo(printable(f"{path}: {plural(taken.events, 'event')} acknowledged{_rest(taken)}"))
    return not rejected, await _ends(chosen) if waits else {}


def _content(path: Path) -> bytes:
    try:
        return read_content(path)
    except READ_ERRORS as error:
        raise click.ClickException(f"cannot read the input: {error}") from error


def file_time(path: Path, made: int | None) -> int:
    """When a file was made: by default when it was changed, for standard input now. Raises ClickException."""
    if made is None:
        made = now_ms() if path == Path("-") else path.stat().st_mtime_ns // 1_000_000
    if not 0 <= made <= LATEST_AT:
        raise click.ClickException(
            f"the time of {printable(str(path))} is not between the years 1970 and 9999: correct it by --file-time"
        )
    return made


def _words(path: str, name: str, taken: IntakeResult) -> Iterator[str]:
    """A line for everything that was rejected, and one for what a rule would remedy."""
    for native, reason, detail in taken.refusals:
        yield f"{path}: record {native!r}: {reason}: {detail}"
    if (more := taken.rejected - len(taken.refusals)) > 0:
        yield f"{path}: and {more} more"
    if NO_RULE & taken.skipped.keys():
        yield f"{path}: `eval-alignment source check {name} {path}` shows why records are skipped"


def _rest(taken: IntakeResult) -> str:
    parts = [f"{count} skipped ({reason})" for reason, count in Counter(taken.skipped).most_common()]
    if taken.rejected:
        parts.append(f"{taken.rejected} rejected")
    if taken.unchanged:
        parts.append(f"{plural(taken.unchanged, 'record')} unchanged")
    return "".join(f", {part}" for part in parts)


async def _ends(chosen: Settings) -> dict[SourcePartition, int]:
    """The ends of all source partitions: another process may have sent the events."""
    client = kafka_wiring.client(chosen)
    _, ends = await bounds(client, await source_partitions(client, kafka_wiring.topics(chosen)))
    return {(place.topic, place.partition): end for place, end in ends.items()}
