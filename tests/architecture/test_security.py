"""The table of docs/security.md: each row names tests that exist."""

import ast
import re
from ipaddress import ip_address

from eval_alignment.local.broker import HOST
from tests.support.tree import ROOT

WHO = {"stranger", "reader", "sender", "pulled tool", "producer", "writer of our logs", "operator", "local user"}


def rows() -> list[list[str]]:
    """The cells of each row."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.partition("\n## Who can do what\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_everybody_is_in_the_table() -> None:
    assert {who for who, *_ in rows()} == WHO
    assert all(len(row) == 4 for row in rows())


def test_every_test_that_the_table_names_exists() -> None:
    for _, can, _, shown in rows():
        named = re.findall(r"`([^`]+)`", shown)
        assert named, f"{can}: no test"
        for test in named:
            path, _, name = test.partition("::")
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            # Of a fuzzer, the file is named.
            assert (name or "run") in functions, f"{test} does not exist"


def test_the_embedded_broker_listens_on_loopback_only() -> None:
    assert ip_address(HOST).is_loopback
