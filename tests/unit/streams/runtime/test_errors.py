"""The tree of exceptions: complete, and drawn in the docstring of its root as it is in the code."""

import importlib
import re
import subprocess
import sys

from streams.runtime.errors import EvalAlignmentError
from tests.support.tree import PACKAGES, ROOT, modules

DRAWN = re.compile(r"^    +((?:[│ ]   )*)[├└]── (\w+) +(\S+)  +\S", re.MULTILINE)


def drawn() -> set[tuple[str, str, str]]:
    """(parent, class, module) of every line of the drawing."""
    path = [EvalAlignmentError.__name__]
    lines = set()
    for indent, name, module in DRAWN.findall(EvalAlignmentError.__doc__ or ""):
        depth = 1 + len(indent) // 4
        path[depth:] = [name]
        lines.add((path[depth - 1], name, module))
    return lines


def product_exceptions() -> dict[str, type[BaseException]]:
    """Every public exception that a module of the product defines, by its full name."""
    exceptions = {}
    for package in PACKAGES:
        for path in modules(package):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if name.endswith("__main__"):
                continue
            for member in vars(importlib.import_module(name)).values():
                if isinstance(member, type) and issubclass(member, BaseException) and member.__module__ == name:
                    exceptions[f"{name}.{member.__name__}"] = member
    return {name: member for name, member in exceptions.items() if not member.__name__.startswith("_")}


def test_every_public_exception_derives_from_the_root() -> None:
    strangers = [name for name, member in product_exceptions().items() if not issubclass(member, EvalAlignmentError)]
    assert strangers == []


def test_the_drawing_of_the_tree_is_the_tree() -> None:
    members = [member for member in product_exceptions().values() if member is not EvalAlignmentError]
    assert drawn() == {(member.__bases__[0].__name__, member.__name__, member.__module__) for member in members}


def test_the_root_loads_neither_kafka_nor_faust() -> None:
    program = "import sys, streams.runtime.errors; print({'aiokafka', 'faust', 'mode'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True, cwd=ROOT).strip() == "set()"
