"""Export of comparisons: CSV for spreadsheets, JSON lines for programs."""

import csv
import io
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date
from typing import Any, Final
from urllib.parse import quote

import orjson

from aggregator.days import moment
from sinks.api.services import Services
from sinks.page.csv_cells import guarded
from sinks.queries.comparisons import PAGE_LIMIT, Comparison, ComparisonSort, Query, comparisons

COLUMNS: Final = (
    "queue", "item", "level", "criterion", "annotator", "annotated_at", "thumbs", "stars", "explanation", "expected",
    "metric", "evaluated_at", "judge", "score", "threshold", "direction", "passed", "reason", "outcome", "url",
    "input", "output", "tags",
)  # fmt: skip
_PART_BYTES: Final = 1 << 18
"""Bytes of texts that are read at a time. A client that does not read keeps a few times as much in memory: what it was
sent, and the next part.
"""
_UNSAFE: Final = re.compile(r"[^\w.-]+")
_NAME_CHARACTERS: Final = 80
_TIMES: Final = ("annotated_at", "evaluated_at")


def file_name(what: str, queue: str, today: date, kind: str) -> str:
    r"""The parameters of `Content-Disposition` that name a download by what it has, its queue and the UTC day.

    Characters other than letters, digits, dots, dashes and underscores become dashes. Programs that do not read UTF-8
    get a name without other letters than ASCII's.

    >>> file_name("comparisons", "Support / ü", date(2026, 11, 24), "csv")
    'filename="comparisons-Support-2026-11-24.csv"; filename*=UTF-8\'\'comparisons-Support-%C3%BC-2026-11-24.csv'
    """

    def name(part: str) -> str:
        return "-".join([what, *([part] if part else []), f"{today}.{kind}"])

    letters = _UNSAFE.sub("-", queue)[:_NAME_CHARACTERS].strip("-.")
    ascii_letters = _UNSAFE.sub("-", letters.encode("ascii", "replace").decode()).strip("-.")
    return f"filename=\"{name(ascii_letters)}\"; filename*=UTF-8''{quote(name(letters), safe='')}"


def csv_lines(rows: list[Comparison], *, head: bool, queue: str, raw: bool = False, bom: bool = False) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8); times as RFC 3339.

    Tags are a JSON object. Every cell is quoted. `raw` writes every cell exactly, without the guard against formulas.
    `bom` starts the file with a byte order mark, without which Excel on Windows does not read UTF-8.
    """
    text = io.StringIO()
    if head and bom:
        text.write("\ufeff")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    if head:
        writer.writerow(COLUMNS)
    for row in rows:
        cells: dict[str, Any] = {"queue": queue, **row}
        cells.update({name: moment(cells[name]).isoformat(timespec="milliseconds") for name in _TIMES})
        cells["tags"] = orjson.dumps(row["tags"]).decode() if row["tags"] else None
        writer.writerow([cells[name] if raw else guarded(cells[name]) for name in COLUMNS])
    return text.getvalue().encode()


def json_lines(rows: list[Comparison], *, head: bool, queue: str) -> bytes:  # noqa: ARG001 -- as csv_lines
    """Rows as JSON lines, with the fields and the exact texts of the API."""
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


async def export(services: Services, query: Query, lines: Callable[..., bytes]) -> AsyncIterator[bytes]:
    """All comparisons of a query, newest first.

    They are read in parts, so a slow client keeps neither much memory nor a transaction: a row that changes meanwhile
    may be missing or appear twice.
    """

    def read() -> tuple[bytes, str | None]:
        """A part as text, and the cursor of the next one. The rows are not kept while the client reads."""
        with services.store.read() as connection:
            config = services.config
            page = comparisons(connection, part, config.rules, services.today(), config.item_url)
        return lines(page["comparisons"], head=head, queue=query.queue), page["next"]

    part = replace(query, sort=ComparisonSort.NEWEST, offset=0, limit=PAGE_LIMIT, most_bytes=_PART_BYTES, cursor=None)
    head = True
    while True:
        text, following = await services.exports.run(read, begun=True)
        yield text
        if following is None:
            return
        part, head = replace(part, cursor=following), False
