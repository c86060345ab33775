"""The real tools have been connected with the mappers and clients of today."""

import pytest

from tests.support.tree import ROOT
from tools.real import RECORDS, RealTool, real_tools
from tools.real.__main__ import main
from tools.real.stage import plain_recount
from tools.records import changes, content_hashes, load

TOOLS = real_tools().values()


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_nothing_has_changed_since_the_last_run(tool: RealTool) -> None:
    changed = changes(load(RECORDS).get(tool.name), content_hashes(tool.all_covers))
    assert changed == [], f"run `make tools`, or only `make tools TOOLS={tool.name}`"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_with_locked_packages_has_a_version(tool: RealTool) -> None:
    assert all(tool.version(package) for package in tool.packages)
    assert tool.requirements.exists() == bool(tool.packages)


def test_the_record_has_only_tools_that_exist() -> None:
    assert load(RECORDS).keys() <= real_tools().keys()


def test_every_lock_belongs_to_a_tool() -> None:
    locks = set((ROOT / "tools" / "real").glob("requirements-*.txt"))
    assert locks <= {tool.requirements for tool in TOOLS}


def test_an_unknown_tool_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cobol"]) == 2
    assert "unknown tools: cobol; known are " in capsys.readouterr().err


def test_the_recount_pairs_annotations_with_the_verdicts_of_their_item() -> None:
    annotations = {("a", "tone", "ada"): True, ("a", "tone", "ben"): False, ("b", "tone", "ada"): True}
    verdicts = {("a", "m"): True, ("c", "m"): False}
    assert plain_recount(annotations, verdicts) == {("tone", "m"): {"tp": 1, "fn": 0, "fp": 1, "tn": 0}}
