"""Row 33: a right of the view is taken away while it runs. It serves its last state, and reads on later."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sinks.test_reader import Topics, comparison
from tests.support.logs import Logs
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Command, get, get_json, wait_until
from tests.support.secured import SecuredKafka

DEADLINE = 90.0
PREFIX = "rights."

Measure = Callable[..., None]


@pytest.mark.row(33)
@pytest.mark.faults
async def test_row_33_a_right_that_is_taken_away_is_waited_for(tmp_path: Path, measured: Measure) -> None:
    with SecuredKafka(tmp_path / "kafka", {"view": "v" * 12}) as kafka:
        topics, log = Topics(kafka.plain, f"{PREFIX}alignment."), Logs()
        topics.facts, topics.tallies = f"{PREFIX}alignment.facts.v1", f"{PREFIX}alignment.tallies.v1"
        await topics.make(1)
        http = f"{LOOPBACK}:{free_port()}"
        view = Command(
            "view",
            *("--data-dir", str(tmp_path / "data"), "--http", http, "--no-publish"),
            log=tmp_path / "view.log",
            environment={**kafka.environment("view"), "EVAL_ALIGNMENT_TOPIC_PREFIX": PREFIX},
        )
        shown = 0

        async def write() -> None:
            nonlocal shown
            shown += 1
            log.write(comparison(shown))
            await topics.copy(log)

        def refused() -> bool:
            """Whether the view reports that it may not read."""
            return "refuses to let this view read" in (get_json(f"http://{http}/readyz")["stale_reason"] or "")

        def document() -> Any:
            answer = get(f"http://{http}/api/v1/queues/support")
            assert answer.status in (200, 404)
            return answer.json()["cards"]["comparisons"] if answer.status == 200 else 0

        await asyncio.to_thread(kafka.allow, "view", "Read", topics.facts, topics.tallies)
        with view:
            await asyncio.to_thread(view.wait_ready, f"http://{http}")
            pid = view.pid
            for topic in (topics.facts, topics.tallies):
                await write()
                await asyncio.to_thread(wait_until, lambda: document() == shown, DEADLINE, "the comparison is shown")
                await asyncio.to_thread(kafka.allow, "view", "Read", topic, remove=True)
                before = shown
                await write()
                await asyncio.to_thread(wait_until, refused, DEADLINE, "the reason is reported")
                assert document() == before, "the last state is served"
                await asyncio.to_thread(kafka.allow, "view", "Read", topic)
                back = time.monotonic()
                await asyncio.to_thread(wait_until, lambda: document() == shown, DEADLINE, "it reads on")
                measured("right given back, whole after", time.monotonic() - back)
            assert view.pid == pid, "it did not end"
