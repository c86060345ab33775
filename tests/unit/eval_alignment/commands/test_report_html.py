"""`report QUEUE --html FILE`: one file with the numbers of a view or of files, which needs nothing else."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aggregator.facts import encode
from eval_alignment.commands.report import report
from sinks.store.store import Store
from tests.support.html import read
from tests.support.sample_queue import QUEUE, sample_queue
from tests.support.sample_view import NOW_MS, fill, view_of
from tests.support.serving import serving


def call(*arguments: str) -> Result:
    return CliRunner().invoke(report, arguments)


@pytest.fixture
def events(tmp_path: Path) -> str:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(map(encode, sample_queue(NOW_MS))))
    return str(path)


def test_a_report_of_a_view_has_the_parts_of_the_page_and_fetches_nothing(store: Store, tmp_path: Path) -> None:
    fill(store, sample_queue(NOW_MS))
    target = tmp_path / "report.html"
    with serving(view_of(store, tmp_path)) as url:
        result = call(QUEUE, "--url", url, "--html", str(target), "--fail-under", "0.99")
    assert (result.exit_code, result.stdout[:6]) == (1, "below:")
    text = target.read_text()
    page = read(text)
    for section in ("outcomes-1", "ceiling-1", "top-1", "breakdown-1"):
        page.one("section", id=section)
    assert page.all("p", class_="muted")[0].words == QUEUE
    assert "Below the limit" in page.words
    assert url in page.one("section", class_="panel", aria_labelledby="input-h").words
    assert not page.all("script")
    assert not page.all("link")
    assert [link for link in page.all("a") if not link.attributes["href"].startswith("#")] == []


def test_a_report_of_files_names_the_files(events: str, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    result = call(QUEUE, "--file", events, "--html", str(target))
    assert result.exit_code == 0
    assert "comparisons" in result.stdout
    assert "events.ndjson" in read(target.read_text()).one("section", aria_labelledby="input-h").words


def test_a_report_needs_a_queue_and_a_file_that_can_be_written(events: str, tmp_path: Path) -> None:
    assert call("--html", str(tmp_path / "report.html")).exit_code == 2
    result = call(QUEUE, "--file", events, "--html", str(tmp_path / "missing" / "report.html"))
    assert (result.exit_code, "cannot write the report" in str(result.exception)) == (1, True)
