"""Libraries that modules load: the core is pure, the view loads no Faust, constants load nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import pytest

from tests.support.tree import PACKAGES, ROOT, imports, module_name, modules, room_of

HEAVY = frozenset(
    {
        "aiokafka",
        "faust",
        "mode",
        "prometheus_client",
        "pydantic",
        "starlette",
        "uvicorn",
        "jinja2",
        "httpx",
        "rich",
        "sqlite3",
    }
)
# `name.*` stands for all modules of a package together. Other modules may load any library.
LOADED: Mapping[str, AbstractSet[str]] = {
    "aggregator.*": set(),
    "streams.events.*": set(),
    "streams.runtime.exit_codes": set(),
    "streams.runtime.errors": set(),
    "streams.runtime.health": set(),
    "streams.runtime.heap": set(),
    "streams.runtime.retry_after": set(),
    "streams.waiting.coverage": set(),
    "streams.runtime.metrics": {"prometheus_client"},
    "sinks.config": set(),
    "sinks.changes": set(),
    "sinks.metrics": {"prometheus_client"},
    "sinks.access": {"prometheus_client", "starlette"},
    "sinks.queries.*": {"sqlite3"},
    "sinks.page.formats": set(),
    "sinks.page.report_file": {"jinja2"},
    "sinks.page.wording": set(),
    "sinks.*": HEAVY - {"faust", "mode", "httpx", "pydantic", "rich"},
    "eval_alignment": set(),
    "eval_alignment.library": set(),
    # httpx loads rich, for a command of its own.
    "eval_alignment.client.*": {"httpx", "rich"},
    "eval_alignment.main": set(),
    "eval_alignment.settings": {"pydantic"},
    "eval_alignment.tables.*": set(),
    "eval_alignment.commands.check": {"rich"},
    "eval_alignment.commands.recount": {"pydantic", "rich"},
    "eval_alignment.commands.schema": set(),
}
CLOCK = {"now", "utcnow", "today"}
# The store writes, queries read; snapshots keep their own history.
SQL_ROOMS = {"sinks.store", "sinks.queries", "sinks.snapshots", "sources.intake"}

PROGRAM = """
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {heavy!r}))
"""


def loaded(names: Iterable[str]) -> set[str]:
    """The heavy libraries that a Python has loaded once it has imported these modules."""
    program = PROGRAM.format(names=list(names), heavy=set(HEAVY))
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def clock_reads(source: str) -> list[str]:
    """Calls such as datetime.now(), date.today()."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [ast.unparse(call) for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCK]


def impure(source: str) -> list[str]:
    """Uses of time, event loops and the clock by a module."""
    return [name for name in imports(source) if name.partition(".")[0] in {"time", "asyncio"}] + clock_reads(source)


def statements(source: str) -> list[str]:
    """Calls that execute SQL."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    names = {"execute", "executemany", "executescript"}
    return [ast.unparse(call) for call in calls if isinstance(call, ast.Attribute) and call.attr in names]


@pytest.mark.parametrize("name", LOADED)
def test_an_import_loads_only_the_libraries_of_its_table_entry(name: str) -> None:
    package = name.removesuffix(".*")
    names = [name] if package == name else [module_name(path) for path in modules(package.replace(".", "/"))]
    assert loaded(names) <= LOADED[name]


def test_a_library_loaded_by_way_of_others_is_seen() -> None:
    assert loaded(["streams.kafka.transport"]) >= {"aiokafka", "faust", "mode"}


def test_the_core_reads_neither_the_clock_nor_an_event_loop() -> None:
    uses = {str(path.relative_to(ROOT)): impure(path.read_text()) for path in modules("aggregator")}
    assert {path: names for path, names in uses.items() if names} == {}


def test_a_read_of_the_clock_is_seen() -> None:
    source = "from time import monotonic\nx = datetime.datetime.now(UTC)\ny = date.today()\nimport timeit, datetime"
    assert impure(source) == ["time.monotonic", "datetime.datetime.now", "date.today"]


def test_sql_is_in_its_rooms_only() -> None:
    places = {
        room_of(module_name(path)) for package in PACKAGES for path in modules(package) if statements(path.read_text())
    }
    assert places == SQL_ROOMS


def test_a_statement_is_seen() -> None:
    assert statements("with store.read() as c:\n    rows = c.execute('SELECT 1').fetchall()") == ["c.execute"]
