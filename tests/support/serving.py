"""A view of this process, served on a real socket."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from sinks.api.services import Services
from sinks.app import create_app


@contextlib.contextmanager
def serving(services: Services) -> Iterator[str]:
    """A view of this process on a real socket; yields its address. Its end ends streams, and waits for requests."""

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            services.streams.close()
            await super().shutdown(sockets)

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(services), log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=5
    )
    server = Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
