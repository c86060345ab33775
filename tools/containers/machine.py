"""What this machine has: programs, a directory for images, and what apt and pip are configured for.

No address of a registry is written here. A build sees the configuration of pip and the certificates by mounts, so that
no layer of an image has them.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support import kafka
from tools.containers.commands import ContainerError, run
from tools.containers.compose_file import COMPOSE

_PROGRAMS: Final[Mapping[str, str]] = {
    "podman": "podman",
    "runc": "runc",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "curl": "curl",
}
"""Programs, and the Debian packages that have them."""
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def missing() -> list[str]:
    """What this machine lacks, a line each."""
    lines = []
    if os.geteuid() != 0:
        lines.append("it needs root: for mounts, networks and a Docker Engine of its own")
    if absent := sorted(package for program, package in _PROGRAMS.items() if shutil.which(program) is None):
        lines.append(f"apt-get install --no-install-recommends {' '.join(absent)}")
    if not COMPOSE.exists():
        lines.append("docker-compose is not found: make venv")
    if reason := kafka.missing():
        lines.append(f"the broker: {reason}")
    return lines


class Machine:
    """The directory for images and engines, some 3 GB, and the configuration of apt and pip of this machine."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home.resolve()

    def build_options(self) -> list[str]:
        """Options of `podman build` for the network of this machine and the configuration of pip."""
        options = self._pip_options()
        configuration = self.home / "pip.conf"
        configuration.touch(mode=0o600)
        lines = [f"{name} = " + value.replace("\n", "\n  ") for name, value in options.items()]
        configuration.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
        mounts = {configuration: "/etc/pip.conf", _CERTIFICATES: str(_CERTIFICATES)}
        for name in ("cert", "client-cert", "find-links"):
            path = Path(options.get(name, ""))
            if path.is_absolute():
                mounts[path] = str(path)
        existing = {source: target for source, target in mounts.items() if source.exists()}
        return ["--network=host", *(f"--volume={source}:{target}:ro" for source, target in existing.items())]

    def _pip_options(self) -> dict[str, str]:
        listed = run([sys.executable, "-m", "pip", "config", "list"]).splitlines()
        given = dict(line.split("=", 1) for line in listed)
        # The environment is listed first, and wins.
        return {name.rpartition(".")[2]: str(ast.literal_eval(value)) for name, value in reversed(given.items())}

    def bootstrap(self, release: str, root: Path) -> None:
        """Make a small Debian in `root`, from the mirror that apt of this machine uses."""
        shutil.rmtree(root, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", "--include=ca-certificates,netbase,tzdata", release]
        run([*command, str(root), self._mirror()], environment=proxies())
        shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))

    @staticmethod
    def _mirror() -> str:
        targets = run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"])
        for site, release in (line.split() for line in targets.splitlines()):
            if "-" not in release:
                return site
        raise ContainerError("apt of this machine has no mirror of Debian")

    @staticmethod
    def sources(release: str) -> list[str]:
        """Lines for apt with the updates and security fixes of a release, where apt of this machine has them."""
        command = ["apt-get", "indextargets", "--format", "deb $(SITE) $(RELEASE) main", "Created-By: Packages"]
        wanted = re.compile(rf" {release}-(?:updates|security) main$")
        return sorted({line for line in run([*command, "Component: main"]).splitlines() if wanted.search(line)})


def proxies() -> dict[str, str]:
    """The proxies of apt, for debootstrap and builds."""
    found = {}
    for name in ("http", "https"):
        command = ["apt-config", "shell", "value", f"Acquire::{name}::Proxy"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if match := re.fullmatch(r"value='(.+)'\n", output):
            found[f"{name}_proxy"] = match[1]
    return found
