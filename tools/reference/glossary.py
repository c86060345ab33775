"""The page's glossary, from the sections of docs/glossary.md whose terms the page uses."""

import re
from html import escape
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).resolve().parents[2] / "docs" / "glossary.md"
TARGET: Final = "../sinks/page/templates/glossary.html"
"""The template, seen from docs/."""
SECTIONS: Final = ("Judging", "Numbers")
_ROW: Final = re.compile(r'^\| <a id="(?P<id>[^"]*)"></a>(?P<term>.*?) \| (?P<meaning>.*?) \| .*\|$', re.MULTILINE)
_HEAD: Final = """\
{# Generated from docs/glossary.md by `make docs`. Do not edit. #}
{% extends "base.html" %}
{% block title %}Glossary{% endblock %}
{% block sections %}{% endblock %}
{% block main %}
<header class="stack">
  <h1>Glossary</h1>
  <p class="muted">Words that these pages use in a fixed sense.</p>
</header>
"""


def template() -> str:
    """The template."""
    text = _SOURCE.read_text(encoding="utf-8")
    return f"{_HEAD}{''.join(_section(name, text) for name in SECTIONS)}{{% endblock %}}\n"


def _section(name: str, text: str) -> str:
    body = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
    entries = "".join(
        f'    <div id="{row["id"]}"><dt>{row["term"]}</dt><dd>{_html(row["meaning"])}</dd></div>\n'
        for row in _ROW.finditer(body)
    )
    key = name.lower()
    return (
        f'<section class="panel" aria-labelledby="{key}">\n  <h2 id="{key}">{name}</h2>\n'
        f'  <dl class="glossary">\n{entries}  </dl>\n</section>\n'
    )


def _html(markdown: str) -> str:
    return re.sub(r"`(.*?)`", r"<code>\1</code>", escape(markdown, quote=False).replace("*", ""))
