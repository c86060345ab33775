"""The view as a process without a broker."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import textwrap
from pathlib import Path
from typing import Any

import pytest

from aggregator.facts import Annotation
from sinks.store.store import Store
from sinks.view import STORE_NAME
from streams.runtime.exit_codes import ExitCode
from tests.support.ports import free_port
from tests.support.sample_view import NOW_MS, fill
from tests.support.view_process import view
from tests.support.waiting import eventually

HANGS = textwrap.dedent(
    """
    import asyncio
    from sinks.store.reader import Reader
    async def run(self):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()
    Reader.run = run
    """
)


@pytest.mark.slow
async def test_a_reader_that_hangs_at_the_end_does_not_hold_the_view_up(tmp_path: Path) -> None:
    nobody = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    with view(tmp_path / "data", HANGS, client=nobody) as process:
        await eventually(lambda: process.answers("/healthz"))
        assert await asyncio.to_thread(process.stop) == 0


PATHS = """if "token_file" in settings: settings["token_file"] = Path(settings["token_file"])"""


def _is_a_file(data_dir: Path) -> None:
    data_dir.write_text("not a directory")


def _has_a_newer_store(data_dir: Path) -> None:
    data_dir.mkdir()
    with contextlib.closing(sqlite3.connect(data_dir / STORE_NAME)) as store:
        store.execute("PRAGMA user_version = 1000")


@pytest.mark.parametrize(
    ("wrong", "ending", "reason"),
    [
        ({"host": "0.0.0.0"}, ExitCode.USAGE, "token_file"),  # noqa: S104 -- is refused
        ({"port": "taken"}, ExitCode.ADDRESS_IN_USE, "cannot listen"),
        ({"token": "short"}, ExitCode.USAGE, "has 5 bytes, expected at least 32"),
        ({"data_dir": _is_a_file}, ExitCode.STORE_UNUSABLE, "File exists"),
        ({"data_dir": _has_a_newer_store}, ExitCode.NEWER_SCHEMA, "the store has version 1000"),
    ],
)
def test_a_view_that_cannot_start_logs_the_reason_and_exits_with_its_code(
    tmp_path: Path, wrong: dict[str, Any], ending: ExitCode, reason: str
) -> None:
    data_dir = tmp_path / "data"
    if (prepare := wrong.get("data_dir")) is not None:
        prepare(data_dir)
        wrong = {}
    with contextlib.ExitStack() as stack:
        if wrong.get("token"):
            token_file = tmp_path / "token"
            token_file.write_text(wrong["token"])
            wrong = {"token_file": str(token_file)}
        if wrong.get("port"):
            taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            wrong = {"port": taken.getsockname()[1]}
        with view(data_dir, PATHS, client={"bootstrap_servers": "127.0.0.1:1"}, **wrong) as process:
            assert process.process.wait(20) == ending.code
            assert reason in process.log.read_text()


@pytest.mark.row(31)
async def test_row_31_a_second_view_on_one_data_directory_is_refused(tmp_path: Path) -> None:
    nobody = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    data = tmp_path / "data"
    with view(data, client=nobody) as first:
        await eventually(lambda: first.answers("/healthz"))
        with contextlib.ExitStack() as stack:
            link = tmp_path / "second" / "data"
            link.parent.mkdir()
            link.symlink_to(data)
            second = stack.enter_context(view(link, client=nobody))
            assert await asyncio.to_thread(second.process.wait, 20) == ExitCode.STORE_IN_USE.code
            assert f"{link} is in use by `view` with process id {first.process.pid}" in second.log.read_text()
        assert first.answers("/healthz")
        assert await asyncio.to_thread(first.stop, signal.SIGKILL) < 0
        with view(data, client=nobody) as third:
            await eventually(lambda: third.answers("/healthz"))


@pytest.mark.row(33)
async def test_row_33_a_damaged_store_is_replaced_while_the_view_runs(tmp_path: Path) -> None:
    """Noise in its pages, which a request meets; then another file in its place at the start."""
    nobody = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    data = tmp_path / "data"
    data.mkdir()
    path = data / STORE_NAME
    with contextlib.closing(Store(path)) as store:
        # More than the page cache of a connection.
        fill(
            store,
            [
                Annotation(at=NOW_MS, id="a", queue="q", item=f"i{number}", stars=1, explanation="x" * 2_000)
                for number in range(2_000)
            ],
        )
    with view(data, client=nobody) as process:
        await eventually(lambda: process.answers("/api/v1/queues/q"))
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        await eventually(lambda: process.answers("/queues/q/items", 503) or replaced(data, 1))
        await eventually(lambda: replaced(data, 1) and process.answers("/api/v1/queues"))
        assert await asyncio.to_thread(process.stop) == 0
    assert "It is set aside" in process.log.read_text()
    path.write_bytes(b"not a database, but as long as the header of one" * 100)
    with view(data, client=nobody) as process:
        await eventually(lambda: process.answers("/api/v1/queues"))
        assert replaced(data, 2)


async def test_a_directory_that_is_gone_is_made_and_locked_again_while_the_view_runs(tmp_path: Path) -> None:
    nobody = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    data = tmp_path / "data"
    with view(data, "from streams.runtime import heap; heap.TRIM_SECONDS = 0.05", client=nobody) as first:
        await eventually(lambda: first.answers("/api/v1/queues"))
        data.rename(tmp_path / "moved")
        await eventually(lambda: (data / STORE_NAME).exists() and first.answers("/api/v1/queues"))
        link = tmp_path / "second" / "data"
        link.parent.mkdir()
        link.symlink_to(data)
        with view(link, client=nobody) as second:
            assert await asyncio.to_thread(second.process.wait, 20) == ExitCode.STORE_IN_USE.code
        assert await asyncio.to_thread(first.stop) == 0
    assert f"the store {data / STORE_NAME} is gone. A new one is read from the topics" in first.log.read_text()


async def test_a_view_whose_directory_another_view_made_again_leaves_it_alone(tmp_path: Path) -> None:
    nobody = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    data = tmp_path / "data"
    with view(data, "from streams.runtime import heap; heap.TRIM_SECONDS = 0.05", client=nobody) as first:
        await eventually(lambda: first.answers("/api/v1/queues"))
        first.process.send_signal(signal.SIGSTOP)
        data.rename(tmp_path / "moved")
        with view(data, client=nobody) as second:
            await eventually(lambda: second.answers("/api/v1/queues"))
            first.process.send_signal(signal.SIGCONT)
            await eventually(lambda: first.process.poll() is not None or not first.answers("/api/v1/queues"))
            assert await asyncio.to_thread(first.process.wait, 20) == ExitCode.STORE_IN_USE.code
            assert second.answers("/api/v1/queues")
            assert await asyncio.to_thread(second.stop) == 0
        assert "is gone" not in second.log.read_text()
        assert not replaced(data, 1)


def replaced(data: Path, times: int) -> bool:
    """Whether this many damaged stores were set aside."""
    return (data / f"damaged-{times}.sqlite3").exists()
