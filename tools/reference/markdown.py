"""Parts of a page: the marker and title, tables, fenced blocks, links to other pages."""

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

_MARKER: Final = "<!-- Generated from code by `make docs`. Do not edit. -->"


def document(title: str, *parts: str, see_also: Sequence[str]) -> str:
    """A whole page; `see_also` are links."""
    return "\n\n".join((_MARKER, f"# {title}", *(part.strip("\n") for part in parts), _see_also(see_also))) + "\n"


def _see_also(links: Sequence[str]) -> str:
    return "## See also\n\n" + " · ".join((*links, "[Home](../README.md)"))


def section(title: str, *parts: str, level: int = 2) -> str:
    """A heading and what belongs under it."""
    return "\n\n".join((f"{'#' * level} {title}", *(part.strip("\n") for part in parts)))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell may contain any Markdown of one line."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def fenced(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.strip()}\n```"


def json_block(value: object) -> str:
    """A value as indented JSON, in a block."""
    return fenced("json", orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def ndjson_block(values: Iterable[object]) -> str:
    """Values as lines of JSON, in a block."""
    return fenced("json", "\n".join(orjson.dumps(value).decode() for value in values))


def code(values: Iterable[str]) -> str:
    """Values as code, separated by commas."""
    return ", ".join(f"`{value}`" for value in values)
