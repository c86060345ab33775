"""The image for arm64, as far as a machine of another architecture can check it.

Every locked package must have a wheel for manylinux on aarch64, except those in `FROM_SOURCE`. The build stage of the
Dockerfile must make a pure wheel of these without a compiler.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools.containers.commands import require, run
from tools.containers.images import Images, base_tag
from tools.containers.podman import Podman
from tools.records import ROOT

FROM_SOURCE: Final = ("faust-streaming",)
"""Packages without a wheel for arm64."""
PLATFORMS: Final = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
"""What Debian 12 runs."""


def check(images: Images, podman: Podman) -> dict[str, str | int]:
    """Check the lock files and the build stage; returns what was found. Raises ContainerError where one fails."""
    packages = {name: _download(ROOT / name) for name in ("requirements.txt", "requirements-build.txt")}
    images.make_base()
    # The same step as on arm64: no wheel of these is accepted.
    name = "localhost/eval-alignment-arm64-check"
    podman.build(name, ROOT, "--target=build", f"--env=PIP_NO_BINARY={','.join(FROM_SOURCE)}")
    wheels = podman("run", "--rm", "--network=none", name, "ls", "wheels").split()
    for package in FROM_SOURCE:
        built = [wheel for wheel in wheels if wheel.startswith(f"{package.replace('-', '_')}-")]
        require(len(built) == 1 and built[0].endswith("-none-any.whl"), f"one pure wheel of {package}, not {built}")
    compilers = podman("run", "--rm", "--network=none", name, "sh", "-c", "command -v cc gcc clang || true")
    require(not compilers, f"an image without a compiler, not with {compilers}")
    return {"wheels": sum(packages.values()), "from_source": ", ".join(FROM_SOURCE)}


def _download(lock: Path) -> int:
    """Download the wheels of a lock file for arm64, except `FROM_SOURCE`; returns their number."""
    entries = re.split(r"^(?=[a-z0-9])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    wanted = [entry for entry in entries if entry.partition("==")[0] not in FROM_SOURCE]
    version = ".".join(base_tag().split(".")[:2])
    with tempfile.TemporaryDirectory() as directory:
        listed = Path(directory) / "requirements.txt"
        listed.write_text("".join(wanted), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
        command += [f"--platform={platform}" for platform in PLATFORMS]
        run([*command, f"--dest={directory}", f"--requirement={listed}"])
        return len(list(Path(directory).glob("*.whl")))
