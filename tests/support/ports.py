"""Free ports on loopback for servers that tests stop and restart at the same address."""

import random
import socket

# Below the range from which systems take the source ports of outgoing connections (32768 and up on Linux,
# 49152 and up elsewhere): while a server is down, a client that retries could otherwise be given the server's
# port as its own source and connect to itself, and the server could not bind again.
_LOWEST, _HIGHEST = 20000, 32000


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listened on a moment ago."""
    for _ in range(100):
        port = random.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError(f"no free port found between {_LOWEST} and {_HIGHEST}")
