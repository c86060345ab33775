"""A real Alertmanager, and a webhook that keeps what is delivered to it."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.processes import LOOPBACK, get_json
from tests.support.prometheus import Server


def program() -> str | None:
    """The path of Alertmanager; Debian installs it under another name."""
    return shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")


class Alertmanager(Server):
    """Alertmanager without a cluster."""

    name = "alertmanager"

    def command(self, configuration: Path) -> list[str]:
        return [
            str(program()),
            f"--config.file={configuration}",
            f"--storage.path={self.directory / 'alertmanager'}",
            f"--web.listen-address={self.http}",
            "--cluster.listen-address=",
        ]

    def alerts(self) -> list[Any]:
        """All alerts, inhibited ones included."""
        alerts: list[Any] = get_json(f"{self.url}/api/v2/alerts")
        return alerts


class Webhook:
    """An HTTP server on loopback; context manager. `received` has the messages of every path, in order."""

    def __init__(self) -> None:
        self.received: list[tuple[str, Any]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
