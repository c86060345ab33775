"""The commands of docs/check.md run in order and print what the page shows; its tables have what the code has."""

import re
from pathlib import Path

import click

from eval_alignment.commands.check import check
from eval_alignment.tables.labels import FAIL_WORDS, PASS_WORDS
from eval_alignment.tables.roles import RECOGNISED
from tests.integration.test_tutorial import Terminal, commands
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "check.md").read_text()


def test_every_command_of_the_page_prints_what_the_page_shows(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, PAGE)
    steps = list(commands(PAGE))
    assert len(steps) > 4
    for command, expected in steps:
        terminal.run(command, expected)
    assert "Below the limit" in (terminal.directory / "report.html").read_text()


def test_the_page_lists_the_names_that_are_recognised() -> None:
    rows = re.findall(r"^\| (?:`--([a-z-]+)`)? *\| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
    listed = {option.removesuffix("-column") or "threshold": tuple(names.split(", ")) for option, names in rows}
    assert {role: listed.get(role) for role in RECOGNISED} == dict(RECOGNISED)


def test_the_page_lists_the_labels_that_are_recognised() -> None:
    for words, meaning in ((PASS_WORDS, "pass"), (FAIL_WORDS, "fail")):
        assert f"| {', '.join(words)} | {meaning}, in any case |" in PAGE


def test_the_page_names_every_option() -> None:
    options = {name for each in check.params if isinstance(each, click.Option) for name in each.opts}
    assert {name for name in options if name not in PAGE} == set()
