"""The glossary of the page has the sentences of docs/glossary.md."""

import re

from tests.support.tree import ROOT
from tests.unit.sinks.page.conftest import Get

SECTIONS = ("Judging", "Numbers")
ROW = re.compile(r'^\| <a id="(?P<id>[^"]*)"></a>(?P<term>.*?) \| (?P<meaning>.*?) \| .*\|$', re.MULTILINE)


async def test_the_glossary_of_the_page_is_that_of_the_docs(page: Get) -> None:
    text = (ROOT / "docs/glossary.md").read_text()
    written = {}
    for section in SECTIONS:
        (_, _, rest) = text.partition(f"## {section}\n")
        for row in ROW.finditer(rest.partition("\n## ")[0]):
            written[row["id"]] = (row["term"], re.sub("[*`]", "", row["meaning"]))
    shown = await page("/glossary")
    assert [heading.words for heading in shown.one("main").all("h2")] == list(SECTIONS)
    entries = shown.one("main").all("div")
    assert {entry.attributes["id"]: (entry.one("dt").words, entry.one("dd").words) for entry in entries} == written
