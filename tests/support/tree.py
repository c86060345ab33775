"""The repository as its own subject: the files that belong to it, its rooms, and what its modules import."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
"""Inputs next to the repository, which a machine may lack."""
PACKAGES = ("aggregator", "streams", "sinks", "sources", "ingest", "eval_alignment")


def belonging_files() -> list[Path]:
    """Files that git tracks or would add, in order."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sorted(path for name in set(listed.split("\0")) - {""} if (path := ROOT / name).is_file())


def modules(package: str) -> list[Path]:
    """The Python files of a package."""
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths, f"no module in {package}"
    return paths


def module_name(path: Path) -> str:
    """The dotted name under which a file of the repository is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(name: str) -> str:
    """The room of a dotted name, be it a module's or one in it.

    A directory of `streams`, `sinks` or `eval_alignment` is a room, and so is a file at the root of `streams` and
    `sinks`. The files at the root of `eval_alignment` are one room, as is all of `aggregator` and of any other package;
    of `sources`, `sources.intake` and `sources.pulls` are rooms of their own.
    """
    package, *rest = name.split(".")
    if package == "sources" and rest and rest[0] in {"intake", "pulls"}:
        return f"sources.{rest[0]}"
    if package not in {"streams", "sinks", "eval_alignment"} or not rest:
        return package
    room = ROOT / package / rest[0]
    if room.is_dir() or (package != "eval_alignment" and room.with_suffix(".py").is_file()):
        return f"{package}.{rest[0]}"
    return package


def imports(source: str) -> Iterator[str]:
    """Dotted names that a module imports anywhere in it, `from a import b` as a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)
