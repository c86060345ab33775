"""A Docker Engine of a Debian release, in a root, a network and mounts of its own."""

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tools.containers.commands import ContainerError, await_that, note, run
from tools.containers.images import full_name
from tools.containers.machine import Machine, proxies
from tools.containers.podman import Podman
from tools.records import ROOT

_START: Final = ROOT / "tools" / "containers" / "stand_ins" / "start-engine.sh"
_INSTALL: Final = """
apt-get update -qq
cli=$(apt-cache --names-only search '^docker-cli$' | cut -d' ' -f1)
apt-get install --quiet --yes --no-install-recommends docker.io iptables $cli
"""


class ContainerEngine:
    """A running Docker Engine; a context manager that starts and stops it.

    Args:
        machine: where its root and images are kept.
        release: the Debian release whose package it is.
    """

    def __init__(self, machine: Machine, release: str) -> None:
        self._machine = machine
        self._root = machine.home / f"engine-{release}"
        self._directory = machine.home / "docker" / release
        self.host = f"unix://{self._directory}/engine.sock"
        """Its address, for DOCKER_HOST."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._install()
        self._directory.mkdir(parents=True, exist_ok=True)
        options = [f"--host={self.host}", f"--data-root={self._directory}/data", "--exec-root=/run/engine"]
        options += [f"--pidfile={self._directory}/engine.pid", "--bridge=none", "--storage-driver=overlay2"]
        command = ["unshare", "--net", "--mount", "--propagation=private", str(_START)]
        log = self._directory / "engine.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, str(self._root), str(self._machine.home), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            await_that(f"a Docker Engine; {log} may have the reason", self._is_ready)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def _install(self) -> None:
        complete = self._root / ".complete"
        if complete.exists():
            return
        note(f"making {self._root.name} by debootstrap")
        self._machine.bootstrap(self._root.name.removeprefix("engine-"), self._root)
        # Its packages start no service.
        policy = self._root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        policy.chmod(0o755)
        run(["chroot", str(self._root), "sh", "-ec", _INSTALL], environment=proxies())
        complete.touch()

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            log = (self._directory / "engine.log").read_text(encoding="utf-8", errors="replace")
            raise ContainerError(f"the Docker Engine ended with {self._process.returncode}:\n{log[-3000:]}")
        try:
            self.docker("info")
        except ContainerError:
            return False
        return True

    def _entered(self, namespace: str) -> list[str]:
        assert self._process is not None
        return ["nsenter", f"--target={self._process.pid}", f"--{namespace}", "--"]

    def docker(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of a command of docker."""
        command = [*self._entered("mount"), "docker", *arguments]
        return run(command, stdin=stdin, environment={"DOCKER_HOST": self.host})

    def start_docker(self, *arguments: str, stdin: Path) -> subprocess.Popen[bytes]:
        """Start a command of docker with a file as standard input; its output is dropped."""
        with stdin.open("rb") as given:
            return subprocess.Popen(
                [*self._entered("mount"), "docker", *arguments],
                stdin=given,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "DOCKER_HOST": self.host},
            )

    def in_network(self, *command: str) -> str:
        """The output of a command that sees the networks and published ports of this engine."""
        return run([*self._entered("net"), *command])

    def load(self, podman: Podman, image: str) -> None:
        """Give an image of podman's to this engine, unless it has it."""
        wanted = podman.image_id(full_name(image))
        if wanted in self.docker("images", "--no-trunc", "--quiet", image).splitlines():
            return
        archive = self._directory / "image.tar"
        archive.unlink(missing_ok=True)
        podman("save", "--quiet", f"--output={archive}", full_name(image))
        self.docker("load", "--quiet", f"--input={archive}")
        archive.unlink()

    def versions(self) -> dict[str, str]:
        """The versions of the engine and of its runc."""
        lines = self.docker("version", "--format", "{{json .Server.Version}} {{json .Server.Components}}")
        engine = lines.split(" ", 1)[0].strip('"')
        runc = run(["chroot", str(self._root), "runc", "--version"]).split()[2]
        return {"engine": f"Docker Engine {engine.partition('+')[0]}", "runc": f"runc {runc.partition('+')[0]}"}
