"""docs/sources.md has every tool, and every reason of a skip."""

import re

from sources.records import SkipReason
from sources.registry import TOOLS
from tests.support.tree import ROOT
from tools.real import RECORDS
from tools.records import load

PAGE = (ROOT / "docs" / "sources.md").read_text()


def first_cells(heading: str) -> set[str]:
    """The names in code in the first cells of the table below a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| ([^|]*)\|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_it_lists_every_tool() -> None:
    assert first_cells("Tools") - {"tool"} == TOOLS.keys()


def test_it_names_the_version_of_each_tool_that_was_run() -> None:
    section = PAGE.split("## Tools\n")[1].split("\n## ")[0]
    for name, record in load(RECORDS).items():
        version = str(record.results["version"]).split(",")[0].rpartition(" ")[2]
        assert version in section, f"{name} {version} is not in the table"


def test_it_explains_every_reason_of_a_skip() -> None:
    assert first_cells("What becomes no event") == {reason.value for reason in SkipReason}
