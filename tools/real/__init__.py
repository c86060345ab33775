"""Real tools: each source of a tool that runs on one machine, connected to it and compared with its own records; and
what is exported, loaded by the tools that it is for.

`make tools` runs them (`__main__.py`). A module of this package with a `TOOL` is one tool. It runs in the environment
of this repository. What needs the tool's own packages is a program in `programs/` that runs in the tool's environment:
the group `tool-NAME` of pyproject.toml, locked by `make lock`.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.records import ROOT

if TYPE_CHECKING:
    from tools.real.stage import Stage

RECORDS: Final = ROOT / "tools" / "real" / "record.json"
"""The last run of each tool."""
ENVIRONMENTS: Final = ROOT / ".venv-tools"
"""An environment for each tool that is a Python package; `make tools` creates them."""

Results = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class RealTool:
    """One tool, and how its source is proved."""

    name: str
    """The name for `make tools TOOLS=name`, of its environment, and of its requirements-NAME.txt if it has one."""
    title: str
    """The tool's name as people write it."""
    packages: tuple[str, ...]
    """The packages whose locked versions are the tool's version, the tool itself first."""
    covers: tuple[str, ...]
    """The files that a run covers besides `tools/real/NAME.py` and the requirements."""
    run: "Callable[[Stage], Results]"
    """Creates data with the tool, connects the source, and fails where the counts differ; returns what it found."""
    programs: tuple[str, ...] = ()
    """Programs that must be on PATH."""
    page: str = "docs/sources.md"
    """The page that names its version."""
    lock: str = ""
    """The file that requires its packages, for a tool that is no Python package."""

    @property
    def requirements(self) -> Path:
        """The file that requires its packages; it exists if `make tools` installs the tool."""
        return ROOT / (self.lock or f"tools/real/requirements-{self.name}.txt")

    @property
    def is_installed(self) -> bool:
        """Whether everything that it requires has been installed."""
        return not self.requirements.exists() or (ENVIRONMENTS / self.name / ".installed").exists()

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.name / "bin" / "python"

    @property
    def all_covers(self) -> tuple[str, ...]:
        """The files that a run covers."""
        own = [ROOT / "tools" / "real" / f"{self.name.replace('-', '_')}.py", self.requirements]
        return (*self.covers, *(str(path.relative_to(ROOT)) for path in own if path.exists()))

    def version(self, package: str) -> str:
        """The required version of a package. Raises ValueError if it is not required."""
        text = self.requirements.read_text(encoding="utf-8")
        found = re.search(rf'(?m)^["\s]*{re.escape(package)}(?:==|": "| v)([\w.]+)', text)
        if found is None:
            raise ValueError(f"{self.requirements.name} requires no version of {package}")
        return found[1]


def real_tools() -> dict[str, RealTool]:
    """All tools by their names."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    tools: list[RealTool] = [module.TOOL for module in modules if hasattr(module, "TOOL")]
    return {tool.name: tool for tool in tools}
