"""Dashboards as data: panels, queries and links of the committed JSON, and the metrics that PromQL names."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import yaml

from tests.support.tree import ROOT

DIRECTORY: Final = ROOT / "monitoring" / "grafana"
FILES: Final = ("queues.json", "queue.json", "service.json")
RULES: Final = ROOT / "monitoring" / "prometheus" / "rules"

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_NO_METRICS: Final = re.compile(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME: Final = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*(?!\s*\(|[\w:])")
_WORDS: Final = frozenset(
    (
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "inf",
        "nan",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
    )
)


@dataclass(frozen=True)
class Panel:
    """A panel that is no row."""

    dashboard: str
    json: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.json.get('title')}"

    @property
    def expressions(self) -> list[str]:
        """Its PromQL."""
        return [target["expr"] for target in self.json["targets"]]

    @property
    def links(self) -> list[str]:
        """Addresses of the panel, of its values and of its columns."""
        overrides = self.json["fieldConfig"]["overrides"]
        properties = [part for override in overrides for part in override["properties"] if part["id"] == "links"]
        links = [*self.json.get("links", []), *self.json["fieldConfig"]["defaults"].get("links", [])]
        return [link["url"] for link in (*links, *(link for part in properties for link in part["value"]))]


@dataclass(frozen=True)
class Rule:
    """A recording or an alerting rule."""

    name: str
    expression: str
    alerts: bool


@cache
def dashboard(file: str) -> dict[str, Any]:
    """A committed dashboard."""
    read: dict[str, Any] = json.loads((DIRECTORY / "dashboards" / file).read_text(encoding="utf-8"))
    return read


@cache
def panels() -> tuple[Panel, ...]:
    """Every panel of every dashboard but the rows."""
    shown = [Panel(file, panel) for file in FILES for panel in dashboard(file)["panels"] if panel["type"] != "row"]
    return tuple(shown)


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule of Prometheus."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return tuple(
        Rule(rule.get("alert") or rule["record"], rule["expr"], "alert" in rule)
        for group in groups
        for rule in group["rules"]
    )


def metrics(expression: str) -> set[str]:
    """Names of the series that an expression selects by name.

    >>> sorted(metrics('sum by (le) (rate(a_bucket{x="y z"}[5m] offset 7d)) / on (i) group_left (v) b:c or vector(0)'))
    ['a_bucket', 'b:c']
    """
    bare = _NO_METRICS.sub(" ", _STRING.sub("", expression))
    return {name for name in _NAME.findall(bare) if name.lower() not in _WORDS}


def resolved(expression: str, records: dict[str, str]) -> Iterator[str]:
    """Names of the scraped series that an expression depends on, through recording rules."""
    for name in metrics(expression):
        if name in records:
            yield from resolved(records[name], records)
        else:
            yield name
