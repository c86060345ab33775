"""One name, one thing: no class or type of the product is defined in two modules."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.support.tree import PACKAGES, ROOT, modules


def types_of(source: str) -> Iterator[str]:
    """Names of the classes and type aliases at the top of a module, without a leading underscore.

    An alias is a name in capitals and small letters; type variables name nothing of their own.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            yield node.name.lstrip("_")
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not _is_type_variable(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (target.id.lstrip("_") for target in targets if isinstance(target, ast.Name))
            yield from (name for name in names if name[:1].isupper() and not name.isupper())


def _is_type_variable(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in {"TypeVar", "ParamSpec"}


def defined_twice(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Type names that more than one of these sources defines, with the keys of those that do."""
    places = defaultdict(list)
    for key, source in sources.items():
        for name in set(types_of(source)):
            places[name].append(key)
    return {name: keys for name, keys in places.items() if len(keys) > 1}


def test_no_type_of_the_product_is_defined_twice() -> None:
    paths = [path for package in (*PACKAGES, "deploy", "tools") for path in modules(package)]
    assert defined_twice({str(path.relative_to(ROOT)): path.read_text() for path in paths}) == {}


def test_a_second_definition_is_seen() -> None:
    sources = {
        "a": "class Row: ...\n_T = TypeVar('_T')\nLIMIT = 3\nclass Own: ...",
        "b": "_Row = tuple[int, str]\n_T = TypeVar('_T')\nLIMIT = 4",
        "c": "Key: TypeAlias = str\nclass Outer:\n    class Own: ...",
        "d": "Key = bytes",
    }
    assert defined_twice(sources) == {"Row": ["a", "b"], "Key": ["c", "d"]}
