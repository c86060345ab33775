"""The page's explanation of its numbers, from docs/statistics.md."""

import re
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tools.reference import statistics

TARGET: Final = "../sinks/page/templates/statistics.html"
"""The template, seen from docs/."""
_HEAD: Final = """\
{# Generated from docs/statistics.md by `make docs`. Do not edit. #}
{% extends "base.html" %}
{% block title %}Statistics{% endblock %}
{% block sections %}{% endblock %}
{% block main %}
<header class="stack">
  <h1>Statistics</h1>
  <p class="muted">What each number of these pages means, how it is computed, and when it is undefined.</p>
</header>
{% raw %}
"""
_FOOT: Final = "{% endraw %}\n{% endblock %}\n"
_GLOSSARY: Final = "glossary.md"


def template() -> str:
    """The template."""
    body = statistics.page().partition("\n## ")[2].partition("\n## See also")[0]
    html = "".join(map(_section, body.split("\n## ")))
    # A table may be wider than a phone, and a keyboard must reach all of it.
    first, *rest = html.split("<table")
    tables = (
        f'<div class="scroll-x" tabindex="0" role="region" aria-label="Table {number}"><table{table}'
        for number, table in enumerate(rest, 1)
    )
    return _HEAD + first + "".join(tables).replace("</table>", "</table></div>") + _FOOT


def slug(heading: str) -> str:
    """The anchor of a heading in Markdown, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _section(markdown: str) -> str:
    heading = markdown.partition("\n")[0]
    return f'<section class="panel prose" aria-labelledby="{slug(heading)}">\n{_html(f"## {markdown}")}</section>\n'


def _html(markdown: str) -> str:
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(markdown)
    for opening, text in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", slug(text.content))
        if opening.type == "table_open":
            opening.attrSet("class", "table")
    for token in tokens:
        token.children = _links(token.children or [])
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html.replace("strong>", "b>")


def _links(tokens: list[Token]) -> list[Token]:
    """The tokens with links to what the page has; of others only the words are left."""
    kept = []
    inside = False
    for token in tokens:
        if token.type == "link_open":
            page, _, anchor = str(token.attrGet("href")).partition("#")
            inside = page in ("", _GLOSSARY)
            token.attrSet("href", f"{'/glossary' if page else ''}#{anchor}" if anchor else "/glossary")
        if inside or token.type not in ("link_open", "link_close"):
            kept.append(token)
    return kept
