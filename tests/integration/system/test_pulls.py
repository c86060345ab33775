"""The whole way of a pull: what people and judges state in Langfuse is on the page, and `source sync` reads it too."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployments import Installation
from tests.support.fake_tools.base import FakeClock
from tests.support.fake_tools.langfuse import PUBLIC_KEY, SECRET_KEY, FakeLangfuse
from tests.support.fake_tools.serving import served
from tests.support.ingest_process import IngestProcess
from tests.support.processes import LOOPBACK, get, run, wait_until

DEADLINE = 120.0
QUEUE = "pulled"


@pytest.fixture
def tool() -> FakeLangfuse:
    return FakeLangfuse(FakeClock(int(time.time() * 1000) - 600_000))


@pytest.fixture
def source(tool: FakeLangfuse, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The settings of a source of the tool."""
    path = tmp_path / "langfuse.toml"
    path.write_text(f'LANGFUSE_PUBLIC_KEY = "{PUBLIC_KEY}"\nLANGFUSE_SECRET_KEY = "{SECRET_KEY}"\n')
    with served(tool) as url:
        yield {
            "tool": "langfuse",
            "url": url,
            "credentials_file": str(path),
            "interval_s": 1,
            "queue": QUEUE,
            "criteria": {"quality": {"rating": "stars"}},
            "metrics": {"faithfulness": {"threshold": 0.7}},
        }


def cards(embedded: Installation) -> tuple[int, int]:
    """Comparisons and misaligned ones of the queue."""
    document = embedded.document(QUEUE)
    return (0, 0) if document is None else (document["cards"]["comparisons"], document["cards"]["misaligned"])


@pytest.mark.slow
def test_what_a_tool_has_is_on_the_page_by_the_interval_and_by_the_command(
    embedded: Installation, tool: FakeLangfuse, source: dict[str, Any], tmp_path: Path
) -> None:
    def shown(expected: tuple[int, int], what: str) -> None:
        wait_until(lambda: cards(embedded) == expected, DEADLINE, lambda: f"{what}, not {cards(embedded)}")

    ids = [tool.add_score("quality", stars, item=f"t{stars}", author="ada") for stars in (1, 4, 5)]
    for stars, score in ((1, 0.1), (4, 0.9), (5, 0.2)):
        tool.add_score("faithfulness", score, item=f"t{stars}", source="EVAL")
    process = IngestProcess(embedded, tmp_path, sources={"support": source})

    def sync(*options: str, expect: int = 0) -> tuple[str, str]:
        environment = process.environment | {"EVAL_ALIGNMENT_INGEST_HTTP": f"{LOOPBACK}:{process.port}"}
        command = ("source", "sync", "support", "--broker", embedded.broker, *options)
        done = run(*command, home=tmp_path, environment=environment, expect=expect)
        return done.stdout.decode(), done.stderr.decode()

    with process:
        shown((3, 1), "the scores are compared")
        # An edit in the web interface moves no time.
        tool.scores[ids[2]]["value"] = 2
        shown((3, 0), "the edit counts")
        del tool.scores[ids[0]]
        assert sync("--full")[0].splitlines() == [
            "scores: 5 records, 1 event acknowledged, 1 vanished, 5 records unchanged",
            "queue-items: 0 records, 0 events acknowledged",
        ]
        shown((2, 0), "the deletion counts")
        assert 'source_pull_failed{source="support"} 0.0' in _metrics(process)
    # Without the process, the command has the index.
    tool.add_score("quality", 5, item="t1", author="ben")
    assert sync()[0].startswith("scores: 6 records, 1 event acknowledged, 5 records unchanged\n")
    shown((3, 1), "the command's pull counts")
    scores = dict(tool.scores)
    tool.scores.clear()
    assert "the list is empty, but 6 records of it are known" in sync("--full", expect=1)[1]
    tool.scores.update(scores)
    tool.headers = {"authorization": "Basic other"}
    assert "check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY in " in sync(expect=1)[1]
    shown((3, 1), "nothing was deleted")


def _metrics(process: IngestProcess) -> str:
    return get(f"{process.url}/metrics").body.decode()
