"""What tests need from the machine: a missing thing skips them loudly, or fails them where it is required.

`EVAL_ALIGNMENT_REQUIRE` is a comma list of `NAMES`. A required thing that is missing fails every test that needs it,
and the run fails as well when no test needed it: CI cannot pass by running less.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest

NAMES = ("kafka", "summeval", "promtool", "prometheus", "amtool", "chromium", "systemd")
VARIABLE = "EVAL_ALIGNMENT_REQUIRE"


@dataclass
class Requirements:
    """The names required of this run, and what became of every thing that tests asked for."""

    required: frozenset[str]
    used: set[str] = field(default_factory=set)
    missing: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> "Requirements":
        """Read the variable; an unknown name in it is a usage error, not a thing silently never required."""
        required = frozenset(filter(None, os.environ.get(VARIABLE, "").replace(" ", "").split(",")))
        if unknown := required.difference(NAMES):
            raise pytest.UsageError(f"{VARIABLE}: unknown {sorted(unknown)}; known are {', '.join(NAMES)}")
        return cls(required)

    def provide(self, name: str, reason: str | None) -> None:
        """Note that a test needs `name`. A `reason` says why it is missing: skip, or fail if required."""
        if reason is None:
            self.used.add(name)
            return
        self.missing[name] = reason
        self._refuse(name, reason)

    def told(self) -> dict[str, Any]:
        """What became of everything, for the process that tells the end of a run on several."""
        return {"used": sorted(self.used), "missing": self.missing}

    def learn(self, told: Mapping[str, Any]) -> None:
        """Add what another process told."""
        self.used.update(told["used"])
        self.missing.update(told["missing"])

    def unmet(self) -> list[str]:
        """Required names that no test of this run used."""
        return sorted(self.required - self.used)

    def lines(self, skips: Counter[str]) -> list[str]:
        """What the end of the run must say; `skips` counts skipped tests by reason."""
        told = [f"NOT RUN, {name} is missing: {reason}" for name, reason in sorted(self.missing.items())]
        told += [f"SKIPPED, {count} tests: {reason}" for reason, count in sorted(skips.items())]
        told += [f"REQUIRED BY {VARIABLE}, BUT NO TEST RAN WITH IT: {name}" for name in self.unmet()]
        return told

    def _refuse(self, name: str, reason: str) -> NoReturn:
        if name in self.required:
            pytest.fail(f"{name} is required by {VARIABLE}, and missing: {reason}", pytrace=False)
        pytest.skip(f"{name} is missing: {reason}")
