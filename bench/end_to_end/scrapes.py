"""Duration of scrapes, by one scraper or many in parallel, while other clients do not read."""

import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

from tests.support.processes import LOOPBACK, get


@dataclass(frozen=True, slots=True)
class Scrapes:
    """Milliseconds of each scrape, scrapes per second, and bytes of one scrape."""

    ms: list[float]
    rate: float
    bytes: int


def scrapes(http_address: str, seconds: float, *, parallel: int = 1, unread: int = 0, pause: float = 0.0) -> Scrapes:
    """Scrape for some seconds. Each scraper waits for the response, then pauses."""
    size = len(get(f"http://{http_address}/metrics").body)
    with ExitStack() as open_connections, ThreadPoolExecutor(parallel) as threads:
        for _ in range(unread):
            open_connections.enter_context(closing(_unread(http_address)))
        started = time.monotonic()
        taken = list(threads.map(lambda _: _scraper(http_address, started + seconds, pause), range(parallel)))
        took = time.monotonic() - started
    ms = [each for of_one in taken for each in of_one]
    return Scrapes(ms, len(ms) / took, size)


def _scraper(http_address: str, end: float, pause: float) -> list[float]:
    ms = []
    with closing(http.client.HTTPConnection(http_address, timeout=60)) as connection:
        while time.monotonic() < end:
            began = time.monotonic()
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            body = response.read()
            ms.append((time.monotonic() - began) * 1000)
            assert response.status == 200
            assert body.endswith(b"\n")
            time.sleep(pause)
    return ms


def _unread(http_address: str) -> socket.socket:
    """A scrape whose response is never read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, _, port = http_address.partition(":")
    connection.connect((host, int(port)))
    connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode())
    return connection


def series_shown(url: str) -> int:
    """The number of the product's gauges in a scrape."""
    lines = get(f"{url}/metrics").body.decode().splitlines()
    return sum(line.startswith("eval_alignment_") and 'queue="' in line for line in lines)
