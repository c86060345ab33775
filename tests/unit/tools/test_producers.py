"""The programs of examples/ have run on the events, topics and files of today, and docs/producers.md shows them."""

import shutil
import subprocess

import pytest

from tests.support.pages import page, section
from tests.support.tree import ROOT, belonging_files
from tools.producers import EXAMPLES, RECORDS, ExampleProducer
from tools.producers.__main__ import main
from tools.records import changes, content_hashes, load


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_nothing_has_changed_since_the_last_run(example: ExampleProducer) -> None:
    changed = changes(load(RECORDS).get(example.name), content_hashes(example.covers))
    assert changed == [], f"run `make examples`, or only `make examples EXAMPLES={example.name}`"


def test_every_file_of_the_examples_belongs_to_one() -> None:
    present = {str(path.relative_to(ROOT)) for path in belonging_files() if ROOT / "examples" in path.parents}
    assert present - {str(RECORDS.relative_to(ROOT))} == {name for example in EXAMPLES for name in example.files}
    assert set(load(RECORDS)) == {example.name for example in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_page_shows_the_version_that_ran_and_the_program(example: ExampleProducer) -> None:
    row = next(line for line in page("producers.md").splitlines() if line.startswith(f"| {example.title} | "))
    assert example.installed or f" {example.version} | " in row
    assert example.command in section(page("producers.md"), example.title)
    assert example.program.read_text() in page("producers.md")


def test_an_unknown_example_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["go", "cobol"]) == 2
    assert "unknown examples: cobol; known are curl, client" in capsys.readouterr().err


def test_each_program_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None if program == "go" else program)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing may run"))
    monkeypatch.setattr("tests.support.kafka.missing", lambda: "not found on PATH: mvn")
    assert main([]) == 2
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  go needs go, which is not found on PATH",
        "  the broker: not found on PATH: mvn",
    ]
