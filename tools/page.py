"""`python -m tools.page`: serve the page on a sample store while you work on it.

No broker is needed. A change of a template, of the style sheet or of the script shows with the next request, and a
change of a Python module restarts the server.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from sinks.api.services import Services
from sinks.app import create_app
from sinks.freshness import Freshness
from sinks.page.routes import templates
from sinks.store.store import Store
from tests.support.sample_queue import sample_queue
from tests.support.sample_view import FACTS, NOW_MS, fill, view_of

_ROOT: Final = Path(__file__).resolve().parents[1]
_FILES: Final = (_ROOT / "sinks/page/templates", _ROOT / "sinks/page/static")
_DIRECTORY: Final = "PAGE_STORE"
"""Environment variable with the directory of the store, for the server's process."""
_STORE: Final = "view.sqlite3"
_NEVER_STALE_S: Final = 1e9


class ReloadingApp:
    """The application of a view, created again when a file of the page has changed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._app = create_app(services)
        self._changed = _last_change()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with the current files."""
        if (changed := _last_change()) != self._changed:
            templates.cache_clear()
            self._app = create_app(self._services)
            self._changed = changed
        await self._app(scope, receive, send)


def _last_change() -> int:
    return max(path.stat().st_mtime_ns for directory in _FILES for path in (directory, *directory.iterdir()))


def app() -> ASGIApp:
    """The application on the sample store."""
    directory = Path(os.environ[_DIRECTORY])
    services = view_of(Store(directory / _STORE), directory)
    services.config = replace(services.config, stale_after_s=_NEVER_STALE_S)
    services.freshness = Freshness(_NEVER_STALE_S)
    return ReloadingApp(services)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tools.page", description=__doc__)
    parser.add_argument("--port", type=int, default=8390)
    port = parser.parse_args().port
    with tempfile.TemporaryDirectory(prefix="eval-alignment-page.") as directory:
        store = Store(Path(directory) / _STORE)
        fill(store, [*FACTS, *sample_queue(NOW_MS)])
        store.close()
        os.environ[_DIRECTORY] = directory
        sys.stdout.write(f"http://127.0.0.1:{port}\n")
        sys.stdout.flush()
        uvicorn.run(
            "tools.page:app",
            factory=True,
            port=port,
            reload=True,
            reload_dirs=[str(_ROOT / "sinks"), str(_ROOT / "aggregator")],
            log_level="warning",
        )


if __name__ == "__main__":
    main()
