"""Names on the pages exist: targets of make, commands with their options, and settings."""

import re

import click
import pytest

from eval_alignment.main import cli
from eval_alignment.settings import Settings
from tests.support.tree import ROOT, belonging_files

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in belonging_files()
    if path.suffix == ".md" and path.exists()
}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FORMER = "CHANGELOG.md"
"""A page that also names what was removed."""


def command(words: list[str]) -> click.Command | None:
    """The command that these words name, or None."""
    named: click.Command = cli
    while isinstance(named, click.Group) and words:
        below = named.get_command(click.Context(named), words[0])
        if below is None:
            return None if re.fullmatch(r"[a-z]+", words[0]) else named
        named, words = below, words[1:]
    return named


def options(entry: click.Command) -> set[str]:
    """The options of a command and of the groups above it."""
    named = {name for option in (*entry.params, *cli.params) for name in (*option.opts, *option.secondary_opts)}
    return {*named, "--help", "--version"}


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"(?:^    |`)make ([a-z-]+)", PAGES[page], re.MULTILINE))
    assert named - TARGETS == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_that_a_page_names_exists(page: str) -> None:
    unknown = []
    for line in re.findall(r"\beval-alignment ([a-z][^`|\n>;]*)", PAGES[page]):
        words = line.split()
        entry = command(words)
        if entry is None:
            unknown.append(line)
        else:
            unknown += [
                word for word in words if word.startswith("--") and word.partition("=")[0] not in options(entry)
            ]
    assert unknown == []


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {FORMER}))
def test_every_setting_in_the_environment_that_a_page_names_exists(page: str) -> None:
    named = {name.lower() for name in re.findall(r"EVAL_ALIGNMENT_([A-Z_]+[A-Z])", PAGES[page])}
    of_client = {"client_url", "client_token", "client_token_file"}
    known = {*Settings.model_fields, *of_client, "config", "cache", "require", "name"}
    assert named - known == set()
