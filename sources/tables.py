"""Reads a file of rows into a table: its encoding, format and delimiter are recognised, its cells stay text.

No cell is interpreted here: `007`, `NA` and `null` are the text that the file has. A number of JSON keeps its digits as
written, `true` and `false` become text, and null is an empty cell.
"""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from aggregator.names import printable
from sources.file_formats import binary_format, read_content
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

DELIMITERS: Final[Mapping[str, str]] = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_SAMPLE_RECORDS: Final = 50
"""Records that decide about the delimiter."""
_LONGEST_CELL: Final = 64 * 1024 * 1024
MAX_COLUMNS: Final = 10_000
_MAX_DELIMITERS: Final = 100_000
"""Most delimiters of a line, also in its quoted cells."""
_UTF16: Final = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_JSON_TYPES: Final = {dict: "an object", list: "an array", bool: "a boolean", str: "a string", type(None): "null"}


class TableError(EvalAlignmentError):
    """A file is not a table; the message names the file, what it is, and what to do."""

    exit_code = ExitCode.UNREACHABLE


class NestedCell(str):
    """An object or an array in a cell, by its name. It is no text, so only a column of an item's texts may have one."""

    __slots__ = ("_value",)
    _value: Any

    @classmethod
    def of(cls, value: Any) -> Self:
        """The cell of a value, whose numbers are as they were written."""
        cell = cls(_JSON_TYPES[type(value)])
        cell._value = value
        return cell

    def json(self) -> str:
        """The value as JSON."""
        return _json(self._value)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a file."""

    place: str
    """Where a person finds it: `line 7` (of a record over several lines the first), or `object 7` of a JSON array."""
    cells: Mapping[str, str]
    """Text by column; a missing field and null are empty."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A part of a file that cannot be read as a row."""

    place: str
    detail: str


@dataclass(slots=True)
class Table:
    """The rows of one file."""

    name: str
    """The file as it was named."""
    encoding: str
    form: str
    """The format in words, with the delimiter."""
    columns: list[str] = field(default_factory=list)
    """Names of the columns in their order, without surrounding blanks."""
    rows: list[TableRow] = field(default_factory=list)
    broken: list[BrokenRow] = field(default_factory=list)
    blank: int = 0
    """Records with delimiters only."""

    @property
    def repeated_columns(self) -> set[str]:
        """Names that more than one column has."""
        return {name for name, count in Counter(self.columns).items() if count > 1}

    def values(self, column: str) -> Iterator[str]:
        """The cells of a column that are neither empty nor nested."""
        for row in self.rows:
            cell = row.cells.get(column, "")
            if cell.strip() and not isinstance(cell, NestedCell):
                yield cell


def read_table(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """Read a file, plain or gzipped; `-` is standard input. The whole file is in memory.

    Args:
        path: the file.
        encoding: name of its encoding; by default UTF-8 or UTF-16, with or without byte order mark.
        delimiter: the character between cells; by default the one that divides header and rows alike.

    Raises TableError for a file that is not a table, and OSError, EOFError or zlib.error for one that cannot be read.
    """
    name = "standard input" if path == Path("-") else printable(str(path))
    return parse_table(name, read_content(path), encoding=encoding, delimiter=delimiter)


def parse_table(name: str, content: bytes, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """Read the content of a file, as `read_table` does. `name` is the file in messages. Raises TableError."""
    if (kind := binary_format(content)) is not None:
        excel = ", or an Excel workbook; export it as CSV" if kind == "a zip archive" else "; convert it to CSV"
        raise TableError(f"{name} is {kind}{excel}")
    text, encoding = _decode(name, content, encoding)
    start = text.lstrip()[:1]
    if not start:
        raise TableError(f"{name} is empty: expected a line with the names of the columns, and a line for each row")
    if start == "[":
        return _json_array(name, encoding, text)
    if start == "{":
        return _ndjson(name, encoding, text)
    return _delimited(name, encoding, text, delimiter)


def _decode(name: str, content: bytes, encoding: str | None) -> tuple[str, str]:
    """The text without byte order mark, and the name of its encoding."""
    if encoding is None:
        encoding = "utf-8"
        for mark, utf16 in _UTF16:
            if content.startswith(mark):
                encoding = utf16
        if encoding == "utf-8" and b"\0" in content[:2]:
            # The first character is ASCII: a name of a column, a bracket or a quote.
            encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(
            f"{name}: line {line} is not {encoding.upper()}: name the encoding with --encoding, such as windows-1252"
        ) from None
    except (LookupError, UnicodeError):
        raise TableError(f"encoding {encoding!r} is not known") from None
    if "\0" in text:
        raise TableError(f"{name} has NUL characters, so it is not text in {encoding.upper()}")
    return text.removeprefix("\ufeff"), encoding


def _delimited(name: str, encoding: str, text: str, delimiter: str | None) -> Table:
    text, declared, first = _without_declaration(text)
    delimiter = delimiter or declared or _delimiter(text)
    known = DELIMITERS.get(delimiter, repr(delimiter))
    form = "TSV" if delimiter == "\t" else f"CSV, delimiter {known}"
    table = Table(name, encoding, form)
    for number, record in _records(text, delimiter, first):
        place = f"line {number}"
        if isinstance(record, str) and not table.columns:
            # The next record would be taken for the header.
            raise TableError(f"{name}: {place}: the names of the columns cannot be read: {record}")
        if isinstance(record, str):
            table.broken.append(BrokenRow(place, record))
        elif not table.columns:
            table.columns = _checked_columns(name, [cell.strip() for cell in record])
        elif not any(cell.strip() for cell in record):
            table.blank += 1
        else:
            _add_record(table, place, record)
    return table


def _add_record(table: Table, place: str, record: list[str]) -> None:
    surplus = record[len(table.columns) :]
    if len(record) < len(table.columns) or any(surplus):
        detail = f"has {len(record)} cells, the header has {len(table.columns)}"
        table.broken.append(BrokenRow(place, detail))
        return
    table.rows.append(TableRow(place, dict(zip(table.columns, record, strict=False))))


def _records(text: str, delimiter: str, first: int = 1) -> Iterator[tuple[int, list[str] | str]]:
    """Number of the first line of each record with its cells, or with the reason why it cannot be read.

    Lines without any character are left out. `first` is the number of the first line.
    """
    # A cell may hold a whole conversation; the limit of the module is for all readers, and is never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(_Lines(io.StringIO(text, newline=""), delimiter), delimiter=delimiter, strict=True)
    while True:
        number = first + reader.line_num
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = first + reader.line_num - 1
            lines = f" up to line {last}" if last > number else ""
            detail = "a quoted cell does not end" if "unexpected end" in str(error) else str(error)
            yield number, f"invalid CSV{lines}: {detail}"
            continue
        if record:
            yield number, record


@dataclass(slots=True)
class _Lines:
    """The lines of a text. One of too many cells is an error before they are cut, and the next line follows it."""

    lines: Iterator[str]
    delimiter: str

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        if (found := line.count(self.delimiter)) > _MAX_DELIMITERS:
            raise csv.Error(f"{found:,} delimiters in a line, at most {_MAX_DELIMITERS:,} are read")
        return line


def _without_declaration(text: str) -> tuple[str, str | None, int]:
    """The text without the line `sep=;` of Excel, the delimiter of that line, and the number of the next line."""
    line, newline, rest = text.partition("\n")
    line = line.rstrip("\r")
    if newline and line.lower().startswith("sep=") and len(line) == len("sep=;"):
        return rest, line[-1], 2
    return text, None, 1


def _delimiter(text: str) -> str:
    """The delimiter that divides most records into as many cells as the header; of several the one with most cells."""
    best, best_score = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        sample = [record for _, record in zip(range(_SAMPLE_RECORDS), _records(text, delimiter), strict=False)]
        sizes = [len(record) for _, record in sample if isinstance(record, list)]
        if not sizes or sizes[0] < 2:
            continue
        score = sum(size == sizes[0] for size in sizes) / len(sample), sizes[0]
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _ndjson(name: str, encoding: str, text: str) -> Table:
    table = Table(name, encoding, "NDJSON")
    objects = []
    for number, line in enumerate(io.StringIO(text), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            objects.append((place, _parse(line)))
        except ValueError as error:
            if not objects and not table.broken and line.rstrip().endswith(("{", "[", ",")):
                raise TableError(
                    f"{name} is JSON with line breaks inside an object, expected one object per line (NDJSON); convert "
                    "it with `jq -c .`"
                ) from None
            table.broken.append(BrokenRow(place, f"invalid JSON: {error}"))
    return _of_objects(table, objects)


def _json_array(name: str, encoding: str, text: str) -> Table:
    try:
        values = _parse(text)
    except ValueError as error:
        raise TableError(f"{name} is invalid JSON: {error}") from None
    objects = [(f"object {number}", value) for number, value in enumerate(values, start=1)]
    return _of_objects(Table(name, encoding, "JSON array"), objects)


def _parse(text: str) -> Any:
    """JSON with numbers as they are written."""
    try:
        return json.loads(text, parse_int=_Digits, parse_float=_Digits, parse_constant=_Digits)
    except RecursionError:
        raise ValueError("nested too deep") from None


class _Digits(str):
    """A number of JSON as it is written."""

    __slots__ = ()


def _of_objects(table: Table, objects: Sequence[tuple[str, Any]]) -> Table:
    columns: dict[str, None] = {}
    for place, value in objects:
        if isinstance(value, dict):
            cells = {key.strip(): _cell(cell) for key, cell in value.items()}
            columns.update(dict.fromkeys(cells))
            table.rows.append(TableRow(place, cells))
        else:
            kind = "a number" if isinstance(value, _Digits) else _JSON_TYPES[type(value)]
            table.broken.append(BrokenRow(place, f"is {kind}, expected an object"))
    table.columns = _checked_columns(table.name, list(columns))
    return table


def _checked_columns(name: str, columns: list[str]) -> list[str]:
    if len(columns) > MAX_COLUMNS:
        raise TableError(f"{name} has {len(columns):,} columns, at most {MAX_COLUMNS:,} are read")
    return columns


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else NestedCell.of(value)


def _json(value: Any) -> str:
    if isinstance(value, _Digits):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_json(key)}:{_json(each)}' for key, each in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)
