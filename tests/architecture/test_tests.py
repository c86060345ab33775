"""The layout of the tests: tests/unit mirrors the rooms and needs no broker, oracles share no code with the product."""

import ast

import pytest

from tests.support.tree import PACKAGES, ROOT, imports, modules

BROKER_FIXTURES = {"kafka", "own_kafka", "rig", "embedded", "installation"}
BROKER_MODULES = (
    "tests.integration",
    "tests.support.kafka",
    "tests.support.kafka_cluster",
    "tests.support.deployments",
)
EMBEDDED = "eval_alignment.local.broker.EmbeddedBroker"
# The tests of the class itself, with a script in place of the broker.
EMBEDDED_WITHOUT_BINARY = ROOT / "tests/unit/eval_alignment/local/test_broker.py"


def broker_uses(source: str) -> list[str]:
    """Fixtures and imported helpers of a test module that start a broker."""
    uses = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            uses += [argument.arg for argument in node.args.args if argument.arg in BROKER_FIXTURES]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("getfixturevalue", "usefixtures")):
            values = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            uses += [value for value in values if value in BROKER_FIXTURES]
    uses += [name for name in imports(source) if name == EMBEDDED or f"{name}.".startswith(_PREFIXES)]
    return uses


_PREFIXES = tuple(f"{name}." for name in BROKER_MODULES)


def test_each_directory_of_unit_tests_is_one_of_the_product() -> None:
    unit = ROOT / "tests" / "unit"
    directories = {path.parent.relative_to(unit) for path in modules("tests/unit")} - {unit.relative_to(unit)}
    assert [str(path) for path in sorted(directories) if not (ROOT / path).is_dir()] == []
    assert {path.parts[0] for path in directories} == {*PACKAGES, "tools"}


def test_no_unit_test_asks_for_a_broker() -> None:
    paths = [path for path in modules("tests/unit") if path != EMBEDDED_WITHOUT_BINARY]
    uses = {str(path.relative_to(ROOT)): broker_uses(path.read_text()) for path in paths}
    assert {path: names for path, names in uses.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("async def test_it(kafka: Kafka, tmp_path: Path): ...", ["kafka"]),
        ("@pytest.fixture\ndef client(request):\n    return request.getfixturevalue('own_kafka')", ["own_kafka"]),
        ("@pytest.mark.usefixtures('rig')\ndef test_it(): ...", ["rig"]),
        (f"from {EMBEDDED.rpartition('.')[0]} import EmbeddedBroker", [EMBEDDED]),
        ("from tests.integration.streams.rig import history", ["tests.integration.streams.rig.history"]),
        ("from tests.support.waiting import eventually\ndef test_it(store): ...", []),
    ],
)
def test_a_use_of_a_broker_is_seen(source: str, names: list[str]) -> None:
    assert broker_uses(source) == names


def test_independent_oracles_import_nothing_of_the_product() -> None:
    pending, reached = {f"tests.support.{name}" for name in ("plain", "counted", "verdict")}, set()
    while pending:
        module = pending.pop()
        reached.add(module)
        for name in imports((ROOT / module.replace(".", "/")).with_suffix(".py").read_text()):
            assert name.partition(".")[0] not in PACKAGES, f"{module} imports {name}"
            if name.startswith("tests.") and (imported := name.rpartition(".")[0]) not in reached:
                pending.add(imported)
    assert reached >= {"tests.support.counted", "tests.support.wire"}


def calls_of_parameters(source: str) -> list[str]:
    """Functions of support that are called for parameters: each process of a run would collect other tests."""
    functions = {name.rpartition(".")[2] for name in imports(source) if name.startswith("tests.support.ports.")}
    return [
        ast.unparse(call)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.parametrize"
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) in functions
    ]


def test_parameters_are_the_same_in_every_process() -> None:
    calls = {str(path.relative_to(ROOT)): calls_of_parameters(path.read_text()) for path in modules("tests")}
    assert {path: names for path, names in calls.items() if names} == {}


def test_a_parameter_that_differs_between_processes_is_seen() -> None:
    source = (
        "from tests.support.ports import free_port\n@pytest.mark.parametrize('p', [free_port()])\ndef test_it(p): ..."
    )
    assert calls_of_parameters(source) == ["free_port()"]


def skips(source: str) -> list[str]:
    """Marks and calls that skip a test, or expect it to fail, on every machine."""
    names = ("mark.skip", "mark.xfail", "pytest.skip", "pytest.xfail", "importorskip")
    return [text for node in ast.walk(ast.parse(source)) if (text := named(node)).endswith(names)]


def named(node: ast.AST) -> str:
    """The dotted name of an expression, empty for anything else."""
    return ast.unparse(node) if isinstance(node, ast.Attribute) else ""


def test_a_test_is_skipped_only_for_what_the_machine_lacks() -> None:
    """By a requirement, which `.ci/run` makes a failure, or by a condition (`skipif`)."""
    found = {str(path.relative_to(ROOT)): skips(path.read_text()) for path in modules("tests")}
    assert {path: names for path, names in found.items() if names} == {"tests/support/requirements.py": ["pytest.skip"]}


def test_a_test_that_is_always_skipped_is_seen() -> None:
    source = "@pytest.mark.parametrize('p', [pytest.param(1, marks=pytest.mark.skip('later'))])\ndef test_it(p): ..."
    assert skips(source) == ["pytest.mark.skip"]
