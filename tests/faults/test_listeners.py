"""Strangers and slow clients at every listener: health answers, memory is bounded, nobody is kept out."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.listeners import CONNECTIONS, QUEUE, Listening, fill_store, listening, statuses
from tests.support.processes import LOOPBACK, wait_until

Measure = Callable[..., None]

LISTENERS: Final = tuple(CONNECTIONS)
STRANGER: Final = "127.0.0.2"
_MIB: Final = 1 << 20
HEALTH_SECONDS: Final = 5.0
"""A health check of Kubernetes or of a load balancer gives up after some seconds."""
READERS: Final = 60
UNREAD_BYTES: Final = 64 * _MIB
BOUND_BYTES: Final = UNREAD_BYTES + 96 * _MIB
"""What clients may leave unread, and what requests that are being answered need."""
SILENT: Final = {
    "nothing": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
    "garbage": b"\x16\x03\x01\x02",
}
QUICK: Final = (("view", "nothing"), ("view", "half a head"), ("worker", "half a head"), ("ingest", "nothing"))


def health_seconds(listener: Listening, source: str = LOOPBACK) -> float:
    """The longest of some health checks. They answer, ready or not."""
    longest = 0.0
    for target in ("/healthz", "/readyz") * 5:
        began = time.monotonic()
        answered = listener.status(target, source)
        assert answered in ((200,) if target == "/healthz" else (200, 503)), listener.log.read_text()
        longest = max(longest, time.monotonic() - began)
    return longest


@pytest.mark.row(41)
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        pytest.param(name, sent, marks=() if (name, sent) in QUICK else pytest.mark.faults)
        for name in LISTENERS
        for sent in SILENT
    ],
)
def test_row_41_health_answers_while_strangers_hold_connections(
    name: str, sent: str, tmp_path: Path, measured: Measure
) -> None:
    held = CONNECTIONS[name] + 100
    with listening(name, tmp_path) as listener, contextlib.ExitStack() as stack:
        before = listener.memory()
        for _ in range(held):
            stack.enter_context(client := listener.connect())
            client.sendall(SILENT[sent])
        seconds = health_seconds(listener)
        assert seconds < HEALTH_SECONDS
        assert listener.status("/metrics") == 200, "other requests are served too"
        more = listener.memory() - before
        assert more < 64 * _MIB
        assert listener.log.stat().st_size < 20_000, listener.log.read_text()
    measured(f"{name}: {held} connections that send {sent}: health at most", seconds)
    measured("memory", more / _MIB, "MiB more")


@pytest.mark.row(41)
@pytest.mark.parametrize("name", LISTENERS)
def test_row_41_a_connection_without_a_whole_head_is_closed(name: str, tmp_path: Path) -> None:
    before = "import sinks.listener; sinks.listener.HEADER_SECONDS = 1.0"
    with listening(name, tmp_path, before) as listener, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(listener.connect()) for _ in range(3)]
        for client, sent in zip(clients, (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"), strict=True):
            client.sendall(sent)
        assert [client.recv(1) for client in clients] == [b""] * 3


@pytest.mark.row(41)
def test_row_41_one_address_does_not_take_the_places_of_others(tmp_path: Path, measured: Measure) -> None:
    fill_store(tmp_path)
    settings: dict[str, Any] = {"connections_per_address": 20, "proxy_addresses": ["10.0.0.0/8"]}
    stream = f"GET /api/v1/stream?queue={QUEUE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with listening("view", tmp_path, **settings) as view, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(view.connect(STRANGER)) for _ in range(20)]
        for client in streams:
            client.sendall(stream)
            assert client.recv(12) == b"HTTP/1.1 200"
        for _ in range(100):
            stack.enter_context(view.connect(STRANGER))
        assert view.status("/api/v1/queues", STRANGER) == 503
        seconds = max(health_seconds(view, STRANGER), health_seconds(view))
        assert view.status("/api/v1/queues") == 200
        assert 'http_refused_total{reason="places"} 0.0' not in view.exchange(_METRICS).decode()
    measured("an address with all its places: health at most", seconds)


_METRICS: Final = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.row(42)
@pytest.mark.parametrize(
    "target",
    [
        f"/api/v1/queues/{QUEUE}/comparisons?limit=500",
        f"/queues/{QUEUE}/items.jsonl?outcome=tp,fn,tn,fp",
        pytest.param(f"/queues/{QUEUE}/items?outcome=tp,fn,tn,fp", marks=pytest.mark.faults),
        pytest.param(f"/api/v1/stream?queue={QUEUE}", marks=pytest.mark.faults),
    ],
)
def test_row_42_readers_that_do_not_read_are_dropped(target: str, tmp_path: Path, measured: Measure) -> None:
    text = "".join(chr(0x4E00 + number) for number in range(2_700))
    fill_store(tmp_path, 600, text)
    before = "import sinks.listener; sinks.listener.READ_SECONDS = 3.0"
    head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with listening("view", tmp_path, before) as view, contextlib.ExitStack() as stack:
        usual = view.memory()
        readers = [stack.enter_context(view.connect(received=4_096)) for _ in range(READERS)]
        for reader in readers:
            reader.sendall(head)
        seconds = health_seconds(view)
        assert seconds < HEALTH_SECONDS
        if "stream" not in target:
            wait_until(lambda: _dropped(view) >= READERS, 60, lambda: f"{_dropped(view)} dropped")
        more = view.memory("VmHWM") - usual
        assert more < BOUND_BYTES
        assert health_seconds(view) < HEALTH_SECONDS
    measured(f"{READERS} readers of {target.partition('?')[0]}: memory at most", more / _MIB, "MiB more")
    measured("health at most", seconds)


def _dropped(view: Listening) -> int:
    (line,) = (line for line in view.exchange(_METRICS).decode().splitlines() if 'reason="reader"' in line)
    return int(float(line.split()[1]))


BODIES: Final = {
    "length": (b"Content-Length: 42\r\n\r\n" + b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET"),
    "chunks": (
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET",
    ),
    "bad chunk": (b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", "GET"),
    "head": (b"Content-Length: 5\r\n\r\nhello", "HEAD"),
    "both": (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n", "GET"),
    "both in a POST": (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST",
    ),
}


@pytest.mark.row(42)
@pytest.mark.parametrize("name", LISTENERS)
def test_row_42_bodies_that_nobody_reads_are_refused_and_never_a_request(name: str, tmp_path: Path) -> None:
    fill_store(tmp_path)
    with listening(name, tmp_path) as listener:
        for body, method in BODIES.values():
            for target in ("/healthz", "/metrics", "/api/v1/events"):
                received = listener.exchange(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n".encode() + body)
                assert statuses(received) == [400], received
                assert b"\r\nconnection: close\r\n" in received.lower()
                assert b"\r\ncache-control: no-store\r\n" in received.lower()
                assert b"\r\nserver:" not in received.lower()
        log = listener.log.read_text()
        assert "Traceback" not in log
        assert len(log.splitlines()) < 20
