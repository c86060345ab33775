"""Documentation of fields from the source of their class: the string under each field or member."""

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any, is_typeddict


@cache
def _classes(module: ModuleType) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def field_docs(of: type) -> dict[str, str]:
    """The string under each field of a class, or member of an enumeration, on one line.

    Fields of base classes in the same module are included. A field without a string is absent, and so are all fields of
    a `TypedDict` that is made by a call.
    """
    module = inspect.getmodule(of)
    assert module is not None
    return _documented(_classes(module), of.__name__)


def describe(schemas: Mapping[str, dict[str, Any]], *modules: ModuleType) -> None:
    """Complete JSON Schemas, given by the name of their type, with descriptions of the type and its fields.

    Args:
        schemas: changed in place.
        modules: define the types; a schema of another type stays as it is.
    """
    types = {name: value for module in modules for name, value in vars(module).items() if is_typeddict(value)}
    for name, schema in schemas.items():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
        for field, text in field_docs(types[name]).items() if name in types else ():
            schema["properties"][field]["description"] = text


def _documented(classes: Mapping[str, ast.ClassDef], name: str) -> dict[str, str]:
    source = classes.get(name)
    if source is None:
        return {}
    documented: dict[str, str] = {}
    for base in source.bases:
        if isinstance(base, ast.Name):
            documented |= _documented(classes, base.id)
    for node, below in pairwise(source.body):
        if (
            isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and (field := _target(node)) is not None
        ):
            documented[field] = " ".join(str(below.value.value).split())
    return documented


def _target(node: ast.stmt) -> str | None:
    """The name that a field or member has, None for any other statement."""
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return target.id if isinstance(target, ast.Name) else None
