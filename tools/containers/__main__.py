"""`make containers`: build the image, and run docker-compose.yml on Docker Engines; see the package.

What held goes into the record. Images and engines are kept in the cache directory, some 3 GB, so that a second run is
faster.
"""

import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.support import kafka
from tools.containers import ARM64, ENGINES, RECORDS, arm64, covers
from tools.containers.commands import ContainerError, note, run
from tools.containers.compose_file import COMPOSE
from tools.containers.engine import ContainerEngine
from tools.containers.image_checks import check_image
from tools.containers.images import Images, full_name
from tools.containers.installation import Installation
from tools.containers.installation_checks import check_installation
from tools.containers.machine import Machine, missing
from tools.containers.podman import Podman
from tools.records import RunRecord, content_hashes, load, save


def main(names: Sequence[str]) -> int:
    """Run on the named engines and check arm64 where it is named, or else all; returns the exit code."""
    known = (ARM64, *ENGINES)
    if unknown := set(names) - set(known):
        sys.stderr.write(f"unknown engines: {', '.join(sorted(unknown))}; known are {', '.join(known)}\n")
        return 2
    if lacking := missing():
        sys.stderr.write("make containers cannot run here:\n" + "".join(f"  {line}\n" for line in lacking))
        return 2
    # What was started must end with this command, also when a supervisor ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _run([name for name in known if name in names or not names])
    except ContainerError as error:
        sys.stderr.write(f"make containers: {error}\n")
        return 1
    return 0


def _run(names: Sequence[str]) -> None:
    covered = {name: content_hashes(covers(name)) for name in names}
    machine = Machine(kafka.cache_directory() / "containers")
    podman = Podman(machine)
    images = Images(machine, podman)
    if ARM64 in names:
        note("arm64: the lock files and the build stage")
        _record(ARM64, arm64.check(images, podman), covered)
    engines = [name for name in names if name != ARM64]
    if not engines:
        return
    images.make_base()
    images.build_product()
    of_image = check_image(podman, images.product)
    images.make_stand_ins()
    versions = _versions(podman, images)
    for name in engines:
        with ContainerEngine(machine, name) as engine, tempfile.TemporaryDirectory(dir=machine.home) as directory:
            found = {**engine.versions(), **versions}
            note(f"{name}: {', '.join(found.values())}")
            for image in sorted(set(images.by_service.values())):
                engine.load(podman, image)
            number = check_installation(Installation(engine, Path(directory)))
        _record(name, {**found, "checks": of_image + number}, covered)


def _versions(podman: Podman, images: Images) -> dict[str, str]:
    """The versions of what runs: the real things, and the stand-ins."""
    found = {"compose": run([str(COMPOSE), "version", "--short"]), "kafka": kafka.version()}
    found["python"] = podman("run", "--rm", "--network=none", "--entrypoint=python", images.product, "--version")
    for service in ("prometheus", "alertmanager"):
        image = full_name(images.by_service[service])
        # Some versions print it to standard error.
        command = f"{service if service == 'prometheus' else 'prometheus-alertmanager'} --version 2>&1"
        text = podman("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", command)
        found[service] = text.split("version ", 1)[1].split()[0].partition("+")[0]
    titles = {"compose": "Docker Compose", "kafka": "Apache Kafka", "python": "Python"}
    titles |= {"prometheus": "Prometheus", "alertmanager": "Alertmanager"}
    return {name: f"{titles[name]} {text.removeprefix(titles[name]).strip()}" for name, text in found.items()}


def _record(name: str, results: Mapping[str, str | int], covered: Mapping[str, Mapping[str, str]]) -> None:
    # A run that fails later must not cost the record of this one.
    record = RunRecord(datetime.now(UTC).date().isoformat(), results, covered[name])
    save(RECORDS, load(RECORDS) | {name: record})
    note(f"{name}: held, {', '.join(f'{key} {value}' for key, value in results.items())}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
