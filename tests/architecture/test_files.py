"""Every file of the repository is small, and names no registry host and no path of one machine."""

import re
from pathlib import Path

import pytest

from tests.support.tree import ROOT, belonging_files

MOST_LINES = 450
REGISTRIES = re.compile(
    # Written in pieces, because the check reads this file as well.
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("registry", "npmjs"),
            ("repo", "maven"),
            ("repo1", "maven"),
            ("maven", "org"),
            ("deb", "debian"),
            ("crates", "io"),
            ("proxy", "golang"),
        )
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}/])/(?:work|tmp|root|home)/\w")


def offences(text: str) -> list[str]:
    """Registry hosts and machine paths in a text."""
    return [*REGISTRIES.findall(text), *MACHINE_PATHS.findall(text)]


def text_of(path: Path) -> str | None:
    """The file's text, or None for a binary file."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        return None


def test_no_file_names_a_registry_or_a_machine() -> None:
    texts = {path: text for path in belonging_files() if (text := text_of(path)) is not None}
    assert len(texts) > 10
    offending = {str(path.relative_to(ROOT)): offences(text) for path, text in texts.items()}
    assert {path: names for path, names in offending.items() if names} == {}


@pytest.mark.parametrize("text", ["https://" + "pypi" + ".org/simple", "cd " + "/" + "work/main", '"/' + 'tmp/x"'])
def test_an_offence_is_seen(text: str) -> None:
    assert offences(text)


def test_python_files_are_small() -> None:
    sources = [path for path in belonging_files() if path.suffix == ".py"]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_no_work_is_left_as_a_remark() -> None:
    remark = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    sources = [path for path in belonging_files() if path.suffix in {".py", ".md", ".toml", ".js"}]
    assert [str(path.relative_to(ROOT)) for path in sources if remark.search(path.read_text())] == []
