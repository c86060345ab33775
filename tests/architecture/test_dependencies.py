"""Dependencies: declared, exact where private names are used, locked with hashes, the lock in step with pyproject."""

import itertools
import re
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.tree import PACKAGES, ROOT, imports, modules

EXACT = {
    "aiokafka": "0.14.0",
    "faust-streaming": "0.15.3",
    "mode-streaming": "0.7.1",
}


@dataclass(frozen=True)
class Locked:
    """One package of a lock file."""

    version: str
    hashes: int
    direct: bool


def lock(name: str) -> dict[str, Locked]:
    """The packages that a lock file names for this Python and system, by canonical name."""
    text = (ROOT / name).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    packages: dict[str, Locked] = {}
    for entry in entries:
        requirement = Requirement(entry.splitlines()[0].rstrip("\\ "))
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), f"not pinned exactly: {requirement}"
        if applies(requirement):
            pinned = str(requirement.specifier).removeprefix("==")
            direct = "eval-alignment (pyproject.toml" in entry
            name_of = canonicalize_name(requirement.name)
            assert name_of not in packages, f"pinned twice: {requirement}"
            packages[name_of] = Locked(pinned, entry.count("--hash=sha256:"), direct)
    assert packages
    return packages


def declared(*, development: bool) -> dict[str, Requirement]:
    """The direct dependencies of pyproject.toml for this Python and system; `development` includes the extras."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    lines = list(project["dependencies"])
    if development:
        lines += [*itertools.chain(*project["optional-dependencies"].values()), *document["dependency-groups"]["dev"]]
    requirements = filter(applies, map(Requirement, lines))
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def applies(requirement: Requirement) -> bool:
    """Whether a requirement's marker holds here."""
    return requirement.marker is None or requirement.marker.evaluate()


def test_versions_with_pinned_private_names_are_exact() -> None:
    requirements = declared(development=False)
    assert {name: str(requirements[name].specifier) for name in EXACT} == {n: f"=={v}" for n, v in EXACT.items()}
    assert str(requirements["click"].specifier) == "<8.4"


@pytest.mark.parametrize(("name", "development"), [("requirements.txt", False), ("requirements-dev.txt", True)])
def test_the_lock_is_in_step(name: str, development: bool) -> None:
    packages, requirements = lock(name), declared(development=development)
    unmet = {
        n: packages.get(n)
        for n, r in requirements.items()
        if n not in packages or packages[n].version not in r.specifier
    }
    assert unmet == {}, "run make lock"
    assert {n for n, package in packages.items() if package.direct} == requirements.keys(), "run make lock"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_everything_locked_has_hashes_and_comes_from_the_default_registry(name: str) -> None:
    assert all(package.hashes for package in lock(name).values())
    text = (ROOT / name).read_text()
    assert re.findall(r"://|--(?!hash=)\w+", text) == []


def test_development_has_the_versions_of_production() -> None:
    production, development = lock("requirements.txt"), lock("requirements-dev.txt")
    assert {n: p.version for n, p in production.items() if development[n].version != p.version} == {}


def test_tests_run_with_the_locked_versions() -> None:
    locked = lock("requirements-dev.txt")
    names = declared(development=True)
    # Some packages have a version like "v1.2".
    assert {n: str(Version(version(n))) for n in names} == {n: locked[n].version for n in names}


def undeclared(paths: list[Path], lines: list[str]) -> set[tuple[str, str]]:
    """Third-party imports of files that no dependency line provides."""
    names = {canonicalize_name(Requirement(line).name) for line in lines}
    providers = packages_distributions()
    imported = set()
    for path in paths:
        for name in imports(path.read_text()):
            top = name.partition(".")[0]
            if top in {*PACKAGES, "bench", "monitoring", "tests", "tools", *sys.stdlib_module_names}:
                continue
            if names.isdisjoint(map(canonicalize_name, providers.get(top, [top]))):
                imported.add((str(path.relative_to(ROOT)), top))
    return imported


def test_every_import_is_declared() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    production = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    assert undeclared([path for package in PACKAGES for path in modules(package)], production) == set()
    development = [*production, *document["dependency-groups"]["dev"]]
    # Programs for real tools run in environments of their own.
    others = [
        path
        for package in ("tests", "monitoring", "tools", "deploy")
        for path in modules(package)
        if not path.is_relative_to(ROOT / "tools" / "real" / "programs")
    ]
    assert undeclared(others, development) == set()


def test_an_undeclared_import_is_seen() -> None:
    assert undeclared(modules("tests/integration"), ["pytest"]) >= {("tests/integration/test_kafka.py", "aiokafka")}
