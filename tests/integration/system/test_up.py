"""`up`: accepted events survive the death of any process and any kind of stop, and no process is left."""

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.kafka.client import KafkaClient
from streams.kafka.producer import producer
from streams.kafka.topics import Topics
from tests.support.deployments import Installation
from tests.support.documents import documents
from tests.support.kafka import Kafka
from tests.support.ports import free_port
from tests.support.processes import Command, alive, get_json, ready, wait_until

DEADLINE = 60.0
AT = 1_780_000_000_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with the embedded broker and a few events; every test leaves it running."""
    with Installation(tmp_path_factory.mktemp("up")) as up:
        add(up, 4)
        yield up


def test_other_users_can_read_nothing_that_it_wrote(running: Installation) -> None:
    paths = [running.data, *running.data.rglob("*")]
    assert any(path.name.startswith("view.sqlite3-") for path in paths)
    assert [f"{path} {path.stat().st_mode:o}" for path in paths if path.stat().st_mode & 0o077] == []


def add(up: Installation, count: int) -> None:
    """Send this many new items, each with one deleted annotation, and wait until they are compared."""
    before = compared(up)
    for item in range(before, before + count):
        up.send(
            {"id": "a", "at": AT, "queue": "support", "item": f"i{item}", "stars": 1 + item % 5},
            {"id": "b", "at": AT, "queue": "support", "item": f"i{item}", "stars": 1, "annotator": "gone"},
            {"id": "c", "at": AT + 1, "queue": "support", "item": f"i{item}", "annotator": "gone", "deleted": True},
            {"id": "e", "at": AT, "item": f"i{item}", "metric": "relevance", "passed": item % 2 == 0},
        )
    wait_until(lambda: compared(up) == before + count, DEADLINE, f"{before + count} comparisons")


def compared(up: Installation) -> int:
    """Comparisons of the queue."""
    document = up.document("support")
    return 0 if document is None else int(document["cards"]["comparisons"])


def child(up: Installation, word: str) -> int:
    """Process id of the broker (tansu), the worker or the view."""
    pids = [pid for pid, line in up.processes().items() if f" {word} " in line and "-c" not in line.split()]
    assert len(pids) == 1, up.processes()
    return pids[0]


def test_a_stopped_up_starts_again_with_all_its_counts(running: Installation) -> None:
    expected = documents(running)
    start = len(running.up.text())
    assert running.up.terminate(number=signal.SIGTERM) == 0
    assert running.processes() == {}
    running.start()
    assert documents(running) == expected
    assert "clean" not in running.up.text()[start:]
    assert "rows of the last run." in running.up.text()[start:]


def history(up: Installation) -> list[Any]:
    """Times and counts of the queue's snapshot documents, newest first."""
    listed = get_json(f"{up.url}/api/v1/queues/support/history?limit=500")
    return [(entry["at"], entry["document"]["cards"]) for entry in listed["snapshots"]]


def dead_letters(up: Installation, *options: str) -> Any:
    return json.loads(up.run("dlq", "ls", "--json", *options, "--broker", up.broker).stdout)


def reject(up: Installation, value: str) -> None:
    """Send an invalid event, and wait until it is a dead letter."""
    before = len(dead_letters(up, "--all"))

    async def send() -> None:
        async with producer(KafkaClient([up.broker])) as out:
            await out.send_and_wait(
                Topics().annotations, value.encode(), key=b"i0", headers=[("h", b"\xff"), ("n", None)]
            )

    asyncio.run(send())
    wait_until(lambda: len(dead_letters(up, "--all")) == before + 1, DEADLINE, "a dead letter")


def test_a_rejected_event_is_named_on_the_terminal_and_on_the_page(running: Installation) -> None:
    start = len(running.up.text())
    reject(running, "visible")
    wait_until(lambda: "1 event of " in running.up.text()[start:], DEADLINE, "a line on the terminal")
    (line,) = [line for line in running.up.text()[start:].splitlines() if " rejected: " in line]
    assert f"{running.url}/reasons#" in line
    readiness = f"{running.url}/readyz"
    wait_until(lambda: get_json(readiness)["rejected_last_hour"], DEADLINE, "the number in the API")
    assert "rejected in the last hour" in httpx.get(f"{running.url}/").text


@pytest.mark.slow
def test_dead_letters_and_history_survive_a_clean_stop(running: Installation) -> None:
    reject(running, "handled")
    running.run("dlq", "ack", "--broker", running.broker)
    reject(running, "waiting")
    known, waiting = dead_letters(running, "--all"), dead_letters(running)
    assert (len(known), len(waiting)) == (2, 1)
    name = waiting[0]["event"]
    shown = running.run("dlq", "show", "--broker", running.broker, name).stdout
    add(running, 1)

    def is_written() -> bool:
        documents = history(running)
        return len(documents) > 1 and documents[0][1]["comparisons"] == compared(running)

    wait_until(is_written, DEADLINE, "documents of both states")
    before = history(running)
    for _ in range(2):
        start = len(running.up.text())
        assert running.stop() == 0
        running.start()
        assert "Put back 2 dead letters of the last run." in running.up.text()[start:]
        assert dead_letters(running, "--all") == known
        assert dead_letters(running) == waiting
        assert running.run("dlq", "show", "--broker", running.broker, name).stdout == shown
        assert history(running) == before
    add(running, 1)
    wait_until(lambda: history(running)[1:] == before, DEADLINE, "the history goes on")
    # Another event at the offset of a dead letter of an earlier run.
    reject(running, "a third")
    assert len(dead_letters(running)) == 2


def test_up_takes_events_over_http(running: Installation) -> None:
    """They are counted, and in the next start's rows as those of Kafka are."""
    before = compared(running)
    event = {"at": 1_780_000_000_000, "item": "by-http"}
    events = [
        {**event, "id": "by-http-a", "queue": "support", "thumbs": "up"},
        {**event, "id": "by-http-e", "metric": "m", "passed": True},
    ]
    url = f"http://{running.ingest_http}/api/v1/events"
    assert f"POST {url}" in running.up.text()
    answer = httpx.post(url, json=events, timeout=DEADLINE)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "rejected": [], "warnings": []})
    wait_until(lambda: compared(running) > before, DEADLINE, "the comparison is counted")


def test_a_killed_worker_is_restarted_and_counts_stay_exact(running: Installation) -> None:
    before, worker = documents(running), child(running, "worker")
    os.kill(worker, signal.SIGKILL)
    add(running, 1)
    assert child(running, "worker") != worker
    assert "The worker ended with exit code -9" in running.up.text()
    assert compared(running) == before["support"]["cards"]["comparisons"] + 1


def test_a_killed_view_is_restarted_and_serves_the_same(running: Installation) -> None:
    before, view = documents(running), child(running, "view")
    os.kill(view, signal.SIGKILL)
    wait_until(lambda: ready(running.url) and child(running, "view") != view, DEADLINE, "another view is ready")
    assert documents(running) == before
    assert "The view ended with exit code -9" in running.up.text()
    add(running, 1)


@pytest.mark.parametrize(
    "name", ["worker", *(pytest.param(each, marks=pytest.mark.slow) for each in ("view", "ingest"))]
)
def test_a_port_taken_between_restarts_stops_nothing_else_until_it_is_free_again(
    running: Installation, name: str
) -> None:
    start, killed = len(running.up.text()), child(running, name)
    addresses = {"worker": running.worker_http, "view": running.http, "ingest": running.ingest_http}
    http = addresses.pop(name)
    taken = f"The {name} ended with exit code 75: another program listens on {http}. Restarting it in"
    with socket.socket() as program:
        # Connections of the killed process may still hold the port.
        program.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: bound(program, http), DEADLINE, "the port is free for an instant")
        program.listen()
        wait_until(lambda: running.up.text().count(taken, start) > 1, DEADLINE, "`up` retries and names the port")
        assert all(ready(f"http://{other}") for other in addresses.values())
    wait_until(lambda: ready(f"http://{http}"), DEADLINE, f"the {name} is back")
    add(running, 1)


@pytest.mark.slow
def test_a_broker_whose_port_was_taken_starts_once_it_is_free(running: Installation) -> None:
    before, start = documents(running), len(running.up.text())
    taken = f"The embedded broker cannot listen on {running.broker}: Address already in use"
    with socket.socket() as program:
        program.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(child(running, "broker"), signal.SIGKILL)
        wait_until(lambda: bound(program, running.broker), DEADLINE, "the port is free for an instant")
        program.listen()
        wait_until(lambda: running.up.text().count(taken, start) > 1, DEADLINE, "`up` retries and names the port")
    wait_until(lambda: "is ready" in running.up.text()[start:], DEADLINE, "`up` reports that it is ready again")
    assert documents(running) == before
    add(running, 1)


def bound(program: socket.socket, http: str) -> bool:
    """Bind the address, if no process listens on it."""
    host, _, port = http.rpartition(":")
    try:
        program.bind((host, int(port)))
    except OSError:
        return False
    return True


def test_a_killed_broker_is_replaced_and_all_counts_return(running: Installation) -> None:
    before, start = documents(running), len(running.up.text())
    os.kill(child(running, "broker"), signal.SIGKILL)
    wait_until(lambda: "is ready" in running.up.text()[start:], DEADLINE, "`up` reports that it is ready again")
    assert "The embedded broker died, and its topics are lost" in running.up.text()[start:]
    assert unclean_since(running.up.text()[start:]) <= time.time()
    assert documents(running) == before
    add(running, 1)


def test_a_killed_up_leaves_no_process_and_the_next_reports_what_may_be_missing(running: Installation) -> None:
    """Also when the next one is interrupted while it starts: it stops promptly and loses nothing."""
    before, start = documents(running), len(running.up.text())
    killed = time.time()
    running.up.kill()
    wait_until(lambda: not running.processes(), 5, "no process is left")

    running.up.start()
    wait_until(lambda: "not clean" in running.up.text()[start:], DEADLINE, "it reports what may be missing")
    # Only events that were accepted shortly before the kill may be missing.
    assert killed - 20 < unclean_since(running.up.text()[start:]) < killed
    wait_until(lambda: alive(f"http://{running.worker_http}"), DEADLINE, "the worker joins its group")
    began = time.monotonic()
    assert running.up.terminate(number=signal.SIGINT) == 0
    assert time.monotonic() - began < 8
    assert running.processes() == {}

    running.start()
    assert documents(running) == before
    add(running, 1)


def unclean_since(text: str) -> float:
    """The time from which events may be missing, in seconds since the epoch."""
    match = re.search(r"The last stop was not clean: events accepted after (\S+) may be missing", text)
    assert match, text
    return datetime.fromisoformat(match[1]).timestamp()


def refused(up: Installation, directory: Path, *arguments: str, worker_http: str | None = None) -> str:
    """The output of another `up`, which must end with an error and leave no process."""
    environment = {
        **up.environment,
        "EVAL_ALIGNMENT_WORKER_HTTP": worker_http or f"127.0.0.1:{free_port()}",
        "EVAL_ALIGNMENT_INGEST_HTTP": f"127.0.0.1:{free_port()}",
    }
    before = up.processes().keys()
    with Command("up", *arguments, log=directory / "refused.log", environment=environment) as other:
        assert other.wait() == 1
    assert up.processes().keys() == before
    output = other.text()
    assert "Error: " in output
    assert "is ready" not in output
    assert "Traceback" not in output
    return output


def own(**given: str) -> list[str]:
    """Options of an `up` on free ports; `given` replaces some."""
    options = {"--http": f"127.0.0.1:{free_port()}", "--embedded-broker-port": str(free_port())} | {
        f"--{name.replace('_', '-')}": text for name, text in given.items()
    }
    return [word for option in options.items() for word in option]


def test_a_second_up_on_the_same_directory_is_refused(running: Installation, tmp_path: Path) -> None:
    output = refused(running, tmp_path, *own(data_dir=str(running.data)))
    assert f"{running.data} is in use by `up`" in output


def test_up_names_all_ports_that_are_taken_and_leaves_no_start(running: Installation, tmp_path: Path) -> None:
    port = running.broker.rpartition(":")[2]
    output = refused(
        running,
        tmp_path,
        *own(
            data_dir=str(tmp_path / "a"), embedded_broker_port=port, http=running.http, ingest_http=running.ingest_http
        ),
        worker_http=running.worker_http,
    )
    for taken, choice in (
        (running.broker, "port with --embedded-broker-port"),
        (running.http, "address with --http"),
        (running.ingest_http, "address with --ingest-http"),
        (running.worker_http, "address with the setting worker_http"),
    ):
        assert f"cannot listen on {taken}: Address already in use; choose another {choice}\n" in output
    # Nothing was started, so that the next start reports no unclean stop.
    assert list((tmp_path / "a" / "logs").iterdir()) == []


@pytest.mark.slow
def test_up_runs_on_an_existing_kafka(kafka: Kafka, running: Installation, prefix: str, tmp_path: Path) -> None:
    """A restart reads everything from the topics, and a directory belongs to one kind of broker."""
    environment = {"EVAL_ALIGNMENT_TOPIC_PREFIX": prefix, "EVAL_ALIGNMENT_PARTITIONS": "2"}
    with Installation(tmp_path, broker=kafka.bootstrap, environment=environment) as up:
        add(up, 2)
        expected = documents(up)
        assert up.stop() == 0
        assert up.processes() == {}
        up.start()
        assert documents(up) == expected
        add(up, 1)
        # A closed terminal is a clean stop.
        assert up.up.terminate(number=signal.SIGHUP) == 0
        assert "clean" not in up.up.text()
        output = refused(running, tmp_path, *own(data_dir=str(up.data)))
        assert f"{up.data} belongs to an external broker" in output
