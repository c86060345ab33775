"""docs/sources.md has every tool, and every reason of a skip."""

import re

from sources.records import SkipReason
from sources.registry import TOOLS
from tests.support.tree import ROOT
from tools.real import RECORDS, real_tools
from tools.records import load

PAGE = (ROOT / "docs" / "sources.md").read_text()


def first_cells(heading: str) -> set[str]:
    """The names in code in the first cells of the table below a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| ([^|]*)\|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_it_lists_every_tool() -> None:
    assert first_cells("Tools") - {"tool"} == TOOLS.keys()


def test_the_version_of_each_tool_that_was_run_is_on_its_page() -> None:
    tools = real_tools()
    for name, record in load(RECORDS).items():
        version = str(record.results["version"]).split(",")[0].rpartition(" ")[2]
        assert version in (ROOT / tools[name].page).read_text(), f"{name} {version} is not on the page"


def test_it_explains_every_reason_of_a_skip() -> None:
    assert first_cells("What becomes no event") == {reason.value for reason in SkipReason}
