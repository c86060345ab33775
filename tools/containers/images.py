"""The images of docker-compose.yml: ours by the Dockerfile, on a base that is made here, and stand-ins for others."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support import kafka
from tools.containers import LEFT_OUT
from tools.containers.commands import note, run
from tools.containers.compose_file import compose_file
from tools.containers.machine import Machine
from tools.containers.podman import Podman
from tools.records import ROOT

_STAND_INS: Final = ROOT / "tools" / "containers" / "stand_ins"
_KAFKA: Final = ROOT / "tests" / "support" / "kafka"
_MONITORING: Final[Mapping[str, str]] = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
"""Debian's packages of these services."""
# As in the official image: apt keeps no caches, packages have no manuals.
_APT: Final = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
"""
_DPKG: Final = """\
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
"""


def base_tag() -> str:
    """The tag of the base image in the Dockerfile: version of Python, variant, release of Debian."""
    match = re.search(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None
    return match[1]


def full_name(image: str) -> str:
    """The name that podman has for an image of docker-compose.yml.

    >>> full_name("eval-alignment:0.1.0"), full_name("apache/kafka:4.1.1")
    ('docker.io/library/eval-alignment:0.1.0', 'docker.io/apache/kafka:4.1.1')
    """
    return f"docker.io/{image}" if "/" in image else f"docker.io/library/{image}"


class Images:
    """Makes the images that services need, in podman's storage. What has not changed is used again."""

    def __init__(self, machine: Machine, podman: Podman) -> None:
        self._machine = machine
        self._podman = podman
        services = compose_file()["services"]
        self.by_service = {name: str(each["image"]) for name, each in services.items() if name not in LEFT_OUT}
        """The image of each service."""
        self.product = full_name(self.by_service["view"])
        """Our image."""
        self._release = base_tag().rpartition("-")[2]

    def make_base(self) -> None:
        """Make the base image of the Dockerfile."""
        self._make_debian()
        minor = ".".join(base_tag().split(".")[:2])
        arguments = {"DEBIAN": self._release, "MINOR": minor}
        with tempfile.TemporaryDirectory() as empty:
            name = f"docker.io/library/python:{base_tag()}"
            self._podman.make(name, _STAND_INS / "python.Containerfile", Path(empty), arguments)

    def build_product(self) -> None:
        """Build our image by the Dockerfile as it is."""
        note(f"building {self.product} by the Dockerfile")
        self._podman.build(self.product, ROOT)

    def make_stand_ins(self) -> None:
        """Make the images of Kafka, Prometheus and Alertmanager."""
        self._make_debian()
        debian = {"DEBIAN": self._release}
        folder = self._machine.home / "kafka"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(_STAND_INS / "kafka", folder)
        shutil.copy(_KAFKA / "log4j2.properties", folder)
        shutil.copytree(kafka.jar_directory(), folder / "libs")
        name = full_name(self.by_service["kafka"])
        self._podman.make(name, _STAND_INS / "kafka.Containerfile", folder, debian)
        for service, package in _MONITORING.items():
            arguments = {**debian, "PACKAGE": package, "PROGRAM": service}
            with tempfile.TemporaryDirectory() as empty:
                name = full_name(self.by_service[service])
                self._podman.make(name, _STAND_INS / "monitoring.Containerfile", Path(empty), arguments)

    def _make_debian(self) -> None:
        name = f"localhost/debian:{self._release}"
        if self._podman.has(name):
            return
        note(f"making {name} by debootstrap")
        root = self._machine.home / "debian"
        self._machine.bootstrap(self._release, root)
        with (root / "etc/apt/sources.list").open("a", encoding="utf-8") as sources:
            sources.writelines(f"{line}\n" for line in self._machine.sources(self._release))
        (root / "etc/apt/apt.conf.d/docker-clean").write_text(_APT, encoding="utf-8")
        (root / "etc/dpkg/dpkg.cfg.d/docker").write_text(_DPKG, encoding="utf-8")
        archive = root.with_suffix(".tar")
        run(["tar", "--directory", str(root), "--create", "--numeric-owner", "--file", str(archive), "."])
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._podman("import", "--quiet", f"--change=ENV {path}", "--change=CMD bash", str(archive), name)
        shutil.rmtree(root)
        archive.unlink()
