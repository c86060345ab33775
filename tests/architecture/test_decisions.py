"""Decision records: each has the same sections, and the index lists all of them by their titles."""

import re
from pathlib import Path

import pytest

from tests.support.tree import ROOT

DIRECTORY = ROOT / "docs" / "decisions"
RECORDS = sorted(DIRECTORY.glob("[0-9]*.md"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_its_number_status_and_sections(record: Path) -> None:
    text = record.read_text()
    number = int(record.name[:4])
    assert re.match(rf"# {number}\. .+\n\n\*\*Status\*\*: (accepted|proposed|replaced)", text)
    headings = [heading.partition(" (")[0] for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)]
    assert headings == ["Context", "Decision", "Consequences", *["Rejected"] * ("Rejected" in headings)]
    assert "Rejected" in headings or "rejected" in text.partition("\n")[0]


def test_the_index_lists_every_record_by_its_title() -> None:
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.+) \|$", (DIRECTORY / "README.md").read_text(), re.MULTILINE)
    titles = [re.match(r"# (\d+)\. (.+)\n", record.read_text()) for record in RECORDS]
    expected = [(title[1], record.name, title[2]) for record, title in zip(RECORDS, titles, strict=True) if title]
    assert listed == expected
