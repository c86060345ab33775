"""Every relative link of every page leads to a file that exists, and every anchor to a heading of it."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support.tree import ROOT, belonging_files

PAGES = sorted(path for path in belonging_files() if path.suffix == ".md")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
_ANCHOR = re.compile(r'<a id="([^"]+)">')


def anchors(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of headings, and those it names itself."""
    text = _FENCE.sub("", page.read_text())
    seen: Counter[str] = Counter()
    anchors = set(_ANCHOR.findall(text))
    for heading in _HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_CODE.sub("", _FENCE.sub("", page.read_text()))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_that_code_names_exists() -> None:
    missing = []
    for path in belonging_files():
        if (
            path.suffix in {".py", ".yml", ".html", ".toml", ".service", ".sql"}
            and path.relative_to(ROOT).parts[0] != "tests"
        ):
            for name, anchor in re.findall(r"\bdocs/([\w/-]+\.md)(?:#([\w-]+))?", path.read_text()):
                target = ROOT / "docs" / name
                if not target.exists() or (anchor and anchor not in anchors(target)):
                    missing.append(f"{path.relative_to(ROOT)}: {name}#{anchor}")
    assert missing == []


def test_there_are_pages_and_anchors() -> None:
    assert ROOT / "README.md" in PAGES
    assert {"glossary", "misrouted"} <= anchors(ROOT / "docs" / "glossary.md")
