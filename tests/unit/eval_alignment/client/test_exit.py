"""The end of a program: it sends what is queued, reports what it cannot send, and ends in time."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import isolated
from tests.support.stub_ingest import StubAnswer, StubIngest, StubRequest, accepting

DEADLINE_S = 60.0

START = """
import sys
from eval_alignment import AsyncClient, Client
client = Client({url!r}, linger_s=60, close_s={close_s})
client.queue_item(queue="q", item="1", id="e1")
"""


@pytest.fixture
def ingest() -> Iterator[StubIngest]:
    """A running stub."""
    with StubIngest() as stub:
        yield stub


def run(program: str, tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; fails when it hangs."""
    return subprocess.run(
        [sys.executable, *(command or ("-c", program))],
        cwd=tmp_path,
        env=isolated(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("raise RuntimeError('own')", 1),
        ("with client: sys.exit(4)", 4),
        ("del client; import gc; gc.collect()", 0),
    ],
)
def test_a_program_that_ends_sends_what_is_queued(end: str, code: int, ingest: StubIngest, tmp_path: Path) -> None:
    done = run(START.format(url=ingest.url, close_s=DEADLINE_S / 2) + end, tmp_path)
    assert (done.returncode, ingest.ids()) == (code, ["e1"]), done.stderr
    assert "not delivered" not in done.stderr


def test_a_program_whose_server_is_away_ends_in_time_and_reports_what_was_not_sent(tmp_path: Path) -> None:
    started = time.monotonic()
    done = run(START.format(url=f"http://127.0.0.1:{free_port()}", close_s=0.5), tmp_path)
    assert time.monotonic() - started < DEADLINE_S / 2
    assert done.returncode == 0
    assert "1 not sent: http://127.0.0.1:" in done.stderr
    assert "Connection refused" in done.stderr


def test_a_program_whose_server_hangs_ends_in_time(ingest: StubIngest, tmp_path: Path) -> None:
    ended = threading.Event()

    def hang(request: StubRequest) -> StubAnswer:
        ended.wait(DEADLINE_S)
        return accepting(request)

    ingest.script = hang
    try:
        done = run(START.format(url=ingest.url, close_s=0.5), tmp_path)
    finally:
        ended.set()
    assert (done.returncode, "1 not sent: there was not enough time" in done.stderr) == (0, True), done.stderr


def test_an_async_program_reports_what_it_did_not_await(ingest: StubIngest, tmp_path: Path) -> None:
    program = """
import asyncio
from eval_alignment import AsyncClient
async def main():
    await AsyncClient({url!r}, linger_s=60).queue_item(queue="q", item="1")
asyncio.run(main())
"""
    done = run(program.format(url=ingest.url), tmp_path)
    assert (done.returncode, "1 not sent" in done.stderr) == (0, True), done.stderr


@pytest.mark.parametrize("body", ["", "\n    with client:\n        "])
def test_ctrl_c_sends_what_is_queued(body: str, ingest: StubIngest, tmp_path: Path) -> None:
    program = START.format(url=ingest.url, close_s=DEADLINE_S / 2)
    program += f"import time\nif True:{body} print('ready', flush=True); time.sleep({DEADLINE_S})"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=isolated(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
    assert "KeyboardInterrupt" in errors
    assert ingest.ids() == ["e1"]


def test_ctrl_c_while_a_client_closes_ends_the_program_and_reports_what_was_not_sent(
    ingest: StubIngest, tmp_path: Path
) -> None:
    ended = threading.Event()

    def hang(request: StubRequest) -> StubAnswer:
        ended.wait(DEADLINE_S)
        return accepting(request)

    ingest.script = hang
    program = START.format(url=ingest.url, close_s=DEADLINE_S * 2) + "client.close()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=isolated(tmp_path), stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert ingest.arrived.wait(DEADLINE_S)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=DEADLINE_S)
        finally:
            ended.set()
            process.kill()
    assert "KeyboardInterrupt" in errors
    assert "1 not sent: there was not enough time" in errors


def test_a_test_run_that_leaves_a_client_open_ends(ingest: StubIngest, tmp_path: Path) -> None:
    lines = START.format(url=ingest.url, close_s=DEADLINE_S / 2).strip().replace("\n", "\n    ")
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {lines}\n")
    done = run("", tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py")
    assert (done.returncode, ingest.ids()) == (0, ["e1"]), done.stdout


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_sends_what_it_closes(method: str, ingest: StubIngest, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"""
import multiprocessing
from eval_alignment import Client

def work():
    with Client({ingest.url!r}) as own:
        own.queue_item(queue="q", item="2", id="child")

if __name__ == "__main__":
    client = Client({ingest.url!r}, linger_s=60)
    client.queue_item(queue="q", item="1", id="parent")
    process = multiprocessing.get_context({method!r}).Process(target=work)
    process.start()
    process.join()
    raise SystemExit(process.exitcode)
""")
    done = run("", tmp_path, "program.py")
    assert done.returncode == 0, done.stderr
    assert ingest.ids() == ["child", "parent"]
