#!/usr/bin/env python3
"""Whether the process in this container is ready: asks `/readyz` on loopback, and exits 0 when it says yes.

    health [PORT ...]

Without a port it asks where a view and a worker serve by default; one that is ready is enough.
"""

import http.client
import sys
import urllib.error
import urllib.request

DEFAULT_PORTS = ("8390", "8391")
TIMEOUT_SECONDS = 4.0


def answer(port: str) -> tuple[bool, str]:
    """Whether the process that serves on this port is ready, and what it says."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT_SECONDS) as response:
            return True, response.read().decode()
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {error.read().decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return False, str(error)


def main(ports: tuple[str, ...]) -> int:
    """Print what each port says, up to the first that is ready; 0 when there is one."""
    for port in ports:
        ready, text = answer(port)
        sys.stdout.write(f"{port}: {text}\n")
        if ready:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or DEFAULT_PORTS))
