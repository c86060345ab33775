"""What tests need of the machine: a test without it is skipped, or fails where it is required.

`EVAL_ALIGNMENT_REQUIRE` is a comma-separated list of `NAMES`. A required thing that is missing fails every test that
needs it, and the run fails as well when no test used it: CI cannot pass by running less.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

NAMES = (
    "kafka",
    "summeval",
    "cases",
    "sources",
    "promtool",
    "prometheus",
    "amtool",
    "chromium",
    "systemd",
    "mount",
    "actionlint",
    "curl",
    "peers",
)
VARIABLE = "EVAL_ALIGNMENT_REQUIRE"


@dataclass
class Requirements:
    """What a run requires, and what its tests used."""

    required: frozenset[str]
    used: set[str] = field(default_factory=set)

    @classmethod
    def from_environment(cls) -> "Requirements":
        """Read the variable. An unknown name in it is a usage error: it would never be required."""
        required = frozenset(filter(None, os.environ.get(VARIABLE, "").replace(" ", "").split(",")))
        if unknown := required.difference(NAMES):
            raise pytest.UsageError(f"{VARIABLE}: unknown {sorted(unknown)}; known are {', '.join(NAMES)}")
        return cls(required)

    def provide(self, name: str, reason: str | None) -> None:
        """Note that the test needs `name`. With a `reason` why it is missing: skip the test, or fail it if required."""
        if reason is None:
            self.used.add(name)
        elif name in self.required:
            pytest.fail(f"{name} is required by {VARIABLE}, and missing: {reason}", pytrace=False)
        else:
            pytest.skip(f"{name} is missing: {reason}")

    def unmet(self) -> list[str]:
        """Required names that no test of this run used."""
        return sorted(self.required - self.used)


def skipped_line(reasons: Iterable[str]) -> str:
    """One line on the tests that did not run, from the reason of each; empty when all ran."""
    counts: Mapping[str, int] = Counter(reasons)
    parts = (f"{count} ({reason})" for reason, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])))
    return f"Tests not run: {', '.join(parts)}" if counts else ""
