"""What the source of a class documents, and types of fields as the pages print them."""

import ast
import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from itertools import pairwise
from types import ModuleType, NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, is_typeddict

from aggregator.statistics.confusion import Undefined
from tools.reference.markdown import code

_CONTAINERS: Final = {list: "array", dict: "object"}
_TYPE_NAMES: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}


@cache
def _classes(module: ModuleType) -> Mapping[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def field_docs(of: type) -> dict[str, str]:
    """The string under each field of a class or member of an enumeration, as one line; also of base classes in the
    same module. Fields without a string are absent.
    """
    module = inspect.getmodule(of)
    assert module is not None
    return _field_docs(module, of.__name__)


def _field_docs(module: ModuleType, name: str) -> dict[str, str]:
    node = _classes(module).get(name)
    if node is None:
        return {}
    documented: dict[str, str] = {}
    for base in node.bases:
        if isinstance(base, ast.Name):
            documented.update(_field_docs(module, base.id))
    for statement, below in pairwise(node.body):
        field = _target(statement)
        if field and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            documented[field] = " ".join(str(below.value.value).split())
    return documented


def _target(node: ast.stmt) -> str | None:
    """The name of a field or member; None for any other statement."""
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return target.id if isinstance(target, ast.Name) else None


def type_text(annotation: Any, of_object: Callable[[type], str] = lambda _: "object") -> str:
    """A type as JSON has it; `of_object` returns the text for an object with fields."""
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join("null" if part is NoneType else type_text(part, of_object) for part in arguments)
    if get_origin(annotation) is Literal:
        return code(str(value).lower() if isinstance(value, bool) else value for value in arguments)
    if (container := _CONTAINERS.get(get_origin(annotation))) is not None:
        return f"{container} of {type_text(arguments[-1], of_object)}"
    if annotation is Undefined:
        return "[reasons](snapshot.md#reasons-for-null)"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return code(member.value for member in annotation)
    return of_object(annotation) if is_typeddict(annotation) else _TYPE_NAMES[annotation]
