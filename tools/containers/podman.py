"""Podman with storage and settings of its own: it builds images and runs single containers."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tools.containers.commands import ContainerError, note, run
from tools.containers.machine import Machine, proxies

# runc, because crun needs one cgroup hierarchy; cgroupfs, because a machine may have no systemd; limits by name,
# because root of a virtual machine may not raise them.
_CONTAINERS: Final = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
lock_type = "file"
tmp_dir = "{directory}/tmp"
[network]
network_config_dir = "{directory}/networks"
"""
_STORAGE: Final = """\
[storage]
driver = "overlay"
graphroot = "{directory}/store"
runroot = "{directory}/run"
"""


class Podman:
    """Podman whose images and settings are in a directory of the machine's home."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        directory = machine.home / "podman"
        (directory / "networks").mkdir(parents=True, exist_ok=True)
        (directory / "containers.conf").write_text(_CONTAINERS.format(directory=directory), encoding="utf-8")
        (directory / "storage.conf").write_text(_STORAGE.format(directory=directory), encoding="utf-8")
        self._environment = {
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
            # Podman's timers for health checks need systemd.
            "DISABLE_HC_SYSTEMD": "true",
        }

    def __call__(self, *arguments: str) -> str:
        """The output of a command of podman."""
        return run(["podman", *arguments], environment={**self._environment, **proxies()})

    def log(self, container: str) -> str:
        """What a container has written."""
        return run(["sh", "-c", 'exec podman logs "$0" 2>&1', container], environment=self._environment)

    def has(self, image: str) -> bool:
        """Whether an image exists."""
        return image in self("images", "--noheading", "--format", "{{.Repository}}:{{.Tag}}").splitlines()

    def image_id(self, image: str) -> str:
        """The id of an image, in the form that Docker prints."""
        return f"sha256:{self('image', 'inspect', '--format', '{{.Id}}', image)}"

    def build(self, image: str, folder: Path, *options: str) -> str:
        """Build an image from a folder, layer by layer; unchanged layers are used again. Returns the output."""
        base = ["build", "--pull=never", "--format=docker", "--layers", f"--tag={image}"]
        return self(*base, *self._machine.build_options(), *options, str(folder))

    def make(self, image: str, recipe: Path, folder: Path, arguments: Mapping[str, str]) -> None:
        """Build an image from a recipe, unless one from the same recipe and files exists.

        Args:
            image: its full name.
            recipe: a Containerfile.
            folder: what the recipe copies. Its archives (`libs`) are known by their names.
            arguments: build arguments.
        """
        content = hashlib.sha256(recipe.read_bytes() + repr(sorted(arguments.items())).encode())
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content.update(path.name.encode() if path.suffix == ".jar" else path.read_bytes())
        label = content.hexdigest()[:16]
        if self._label(image) == label:
            return
        note(f"building {image}, a stand-in")
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        self.build(image, folder, f"--file={recipe}", f"--label=recipe={label}", "--label=stand-in=true", *given)

    def _label(self, image: str) -> str:
        try:
            return self("image", "inspect", "--format", '{{index .Labels "recipe"}}', image)
        except ContainerError:
            return ""

    def run_hardened(self, image: str, *words: str, options: Sequence[str] = ()) -> str:
        """The output of a container without network, capabilities and anything to write to but `/tmp`."""
        hardened = ["--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]
        return self("run", *hardened, "--pids-limit=64", "--tmpfs=/tmp", *options, image, *words)
