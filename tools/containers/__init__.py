"""Containers for real: the image is built, and docker-compose.yml runs on Docker Engines of two Debian releases.

`make containers` does it (`__main__.py`), as root, on a Debian machine that reaches package registries; it needs no
image registry. What runs as it is: the Dockerfile, docker-compose.yml, Docker Compose, Docker Engine, runc, Apache
Kafka's jars with the class that makes its settings from the environment of its image, and Prometheus and Alertmanager
of Debian. Stand-ins replace the images of others (`stand_ins/`): each has the paths, user, volumes and entry point of
the published one. Grafana has no package and is left out.
"""

import re
from pathlib import Path
from typing import Final

from tools.containers.compose_file import compose_file
from tools.records import ROOT

RECORDS: Final = ROOT / "tools" / "containers" / "record.json"
"""The last run on each engine, and of the check of arm64."""
ENGINES: Final = ("trixie", "bookworm")
"""Debian releases whose Docker Engine runs docker-compose.yml: a new one, and an old one with runc before 1.1.8."""
ARM64: Final = "arm64"
"""The name of the check that the image can be built for arm64."""
LEFT_OUT: Final = frozenset({"grafana"})
"""Services for which no package exists."""

_TOOL: Final = ("tools/containers/*.py", "tools/containers/stand_ins", "tests/support/kafka")
_LOCKS: Final = ("Dockerfile", "requirements.txt", "requirements-build.txt")


def covers(name: str) -> tuple[str, ...]:
    """The files that a run covers: all that the image is made from and the services mount, and what runs them."""
    if name == ARM64:
        return (*_LOCKS, "tools/containers/arm64.py")
    return ("Dockerfile", ".dockerignore", "docker-compose.yml", *_copied(), *_mounted(), *_TOOL)


def _copied() -> list[str]:
    """What the Dockerfile copies from the build context."""
    joined = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line.split() for line in re.findall(r"^COPY (?!--from)(.*)$", joined, re.MULTILINE)]
    return [source for words in lines for source in words[:-1]]


def _mounted() -> list[str]:
    """What docker-compose.yml mounts from the repository."""
    mounts = [mount for service in compose_file()["services"].values() for mount in service.get("volumes", ())]
    bound = {Path(mount["source"]) for mount in mounts if mount["type"] == "bind"}
    return sorted(str(path.relative_to(ROOT)) for path in bound)
