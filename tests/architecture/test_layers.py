"""Who may import whom: the core stays pure, the view knows nothing of Faust, dependencies are declared."""

import ast
import itertools
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.tree import PACKAGES, ROOT, imports, modules

ALLOWED = {
    "aggregator": {"aggregator"},
    "streams": {"aggregator", "streams"},
    "sinks": {"aggregator", "streams", "sinks"},
    "eval_alignment": set(PACKAGES),
}
FORBIDDEN: dict[str, set[str]] = {
    "aggregator": {
        "faust",
        "mode",
        "aiokafka",
        "prometheus_client",
        "starlette",
        "uvicorn",
        "time",
        "asyncio",
    },
    "streams": set(),
    "sinks": {"faust", "mode"},
    "eval_alignment": set(),
}
CLOCK = {"now", "utcnow", "today"}


def clock_reads(source: str) -> list[str]:
    """Calls such as datetime.now(), date.today()."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [ast.unparse(call) for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCK]


def breaches(package: str, source: str) -> list[str]:
    """Imports of `source` that a module of `package` may not have."""
    found = []
    for name in imports(source):
        top = name.partition(".")[0]
        own = top in PACKAGES and top not in ALLOWED[package]
        foreign = any(f"{name}.".startswith(f"{banned}.") for banned in FORBIDDEN[package])
        if own or foreign or top in ("", "tests"):
            found.append(name)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_its_place_allows(package: str) -> None:
    found = {str(path.relative_to(ROOT)): breaches(package, path.read_text()) for path in modules(package)}
    assert {path: names for path, names in found.items() if names} == {}


LOADED_BY_ALL_MODULES = """
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {banned!r}))
"""


@pytest.mark.parametrize(
    ("package", "banned"),
    [
        ("aggregator", {"faust", "mode", "aiokafka", "prometheus_client", "starlette", "uvicorn"}),
        ("sinks", {"faust", "mode"}),
    ],
)
def test_a_package_loads_nothing_foreign_by_way_of_others(package: str, banned: set[str]) -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in modules(package) if path.stem != "__main__"]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    program = LOADED_BY_ALL_MODULES.format(names=names, banned=banned)
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (loaded.stdout.split(), loaded.stderr) == ([], "")


def test_the_core_never_reads_the_clock() -> None:
    found = {str(path.relative_to(ROOT)): clock_reads(path.read_text()) for path in modules("aggregator")}
    assert {path: calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    ("package", "source", "names"),
    [
        ("aggregator", "def f():\n    import faust.app", ["faust.app"]),
        ("aggregator", "from time import monotonic", ["time.monotonic"]),
        ("aggregator", "import timeit, datetime", []),
        ("aggregator", "from streams import topics", ["streams.topics"]),
        ("sinks", "from mode.utils import futures", ["mode.utils.futures"]),
        ("sinks", "from . import store", ["..store"]),
        ("streams", "import eval_alignment.settings", ["eval_alignment.settings"]),
    ],
)
def test_a_breach_is_seen(package: str, source: str, names: list[str]) -> None:
    assert breaches(package, source) == names


def test_a_read_of_the_clock_is_seen() -> None:
    assert clock_reads("x = datetime.datetime.now(UTC)\ny = date.today()") == [
        "datetime.datetime.now",
        "date.today",
    ]


def undeclared(paths: list[Path], lines: list[str]) -> set[tuple[str, str]]:
    """Third-party imports of files that no dependency line provides."""
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    providers = packages_distributions()
    found = set()
    for path in paths:
        for name in imports(path.read_text()):
            top = name.partition(".")[0]
            if top in {*PACKAGES, "bench", "monitoring", "tests", "tools", *sys.stdlib_module_names}:
                continue
            if declared.isdisjoint(map(canonicalize_name, providers.get(top, [top]))):
                found.add((str(path.relative_to(ROOT)), top))
    return found


def test_every_import_is_declared() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    production = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    assert undeclared([path for package in PACKAGES for path in modules(package)], production) == set()
    development = [*production, *document["dependency-groups"]["dev"]]
    assert undeclared([*modules("tests"), *modules("monitoring")], development) == set()


def test_an_undeclared_import_is_seen() -> None:
    assert undeclared(modules("tests/integration"), ["pytest"]) >= {("tests/integration/test_kafka.py", "aiokafka")}
