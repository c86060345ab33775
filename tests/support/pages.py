"""Pages of docs/ as a reader sees them: sections and blocks of code."""

import re

from tests.support.tree import ROOT


def page(name: str) -> str:
    """The text of a page."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next heading of any level. Fails unless there is exactly one."""
    sections = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(sections) == 1, f"{len(sections)} sections {title!r}"
    return str(sections[0])


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def documented_metrics(title: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and sorted label names of every family in a section of docs/metrics.md."""
    rows = re.findall(
        r"^\| `(eval_alignment_\w+)` \| (\w+) \| (.*?) \|", section(page("metrics.md"), title), re.MULTILINE
    )
    return {name: (kind, tuple(sorted(re.findall(r"`(\w+)`", labels)))) for name, kind, labels in rows}
