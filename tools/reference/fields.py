"""What the source of a class documents: the string under each of its fields or members."""

import ast
import inspect
from functools import cache
from itertools import pairwise
from types import ModuleType


@cache
def _classes(module: ModuleType) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def field_docs(of: type) -> dict[str, str]:
    """The string under each field of a class, or member of an enumeration, on one line; fields without are absent."""
    module = inspect.getmodule(of)
    assert module is not None
    body = _classes(module)[of.__name__].body
    documented = {}
    for node, below in pairwise(body):
        if (
            isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and (name := _target(node)) is not None
        ):
            documented[name] = " ".join(str(below.value.value).split())
    return documented


def _target(node: ast.stmt) -> str | None:
    """The name that a field or member has, None for any other statement."""
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return target.id if isinstance(target, ast.Name) else None
