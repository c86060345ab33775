#!/usr/bin/env python3
"""Health check of the image: exits 0 when the process in this container is ready.

    health [PORT ...]

Requests `/readyz` on loopback. Without a port it tries the default ports of a view, a worker and ingest; one ready
process is enough. It uses the standard library alone: the engine starts it every few seconds.
"""

import http.client
import sys
import urllib.error
import urllib.request

DEFAULT_PORTS = ("8390", "8391", "8389")
TIMEOUT_SECONDS = 4.0


def probe(port: str) -> tuple[bool, str]:
    """Whether the process that serves on this port is ready, and its answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT_SECONDS) as response:
            return True, response.read().decode()
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {error.read().decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return False, str(error)


def main(ports: tuple[str, ...]) -> int:
    """Print the answer of each port up to the first that is ready; returns 0 when one is ready, else 1."""
    for port in ports:
        ready, text = probe(port)
        sys.stdout.write(f"{port}: {text}\n")
        if ready:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or DEFAULT_PORTS))
