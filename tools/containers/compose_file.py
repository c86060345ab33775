"""docker-compose.yml as Docker Compose itself reads it."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

from tools.containers.commands import run
from tools.records import ROOT

COMPOSE: Final = Path(sys.executable).with_name("docker-compose")
"""Docker Compose of the development dependencies."""


@cache
def compose_file() -> dict[str, Any]:
    """The file with all defaults and merges applied. Raises ContainerError with the place when it is invalid."""
    return read_compose_file(ROOT / "docker-compose.yml")


def read_compose_file(path: Path) -> dict[str, Any]:
    """Another file, whose relative paths are those of the repository."""
    command = [str(COMPOSE), "--project-directory", str(ROOT), "--file", str(path), "config", "--format", "json"]
    document: dict[str, Any] = json.loads(run(command))
    return document
