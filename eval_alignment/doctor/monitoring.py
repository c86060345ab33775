"""Prometheus and Alertmanager by their APIs: our rules, our targets, and whether alerts reach anybody."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from eval_alignment.doctor.findings import Finding, found, ok
from eval_alignment.doctor.http import Answer, get
from eval_alignment.doctor.problems import Problem
from streams.runtime.metric_specs import BUILD_INFO

ALERT_PREFIX: Final = "EvalAlignment"
_RULE_PREFIXES: Final = (ALERT_PREFIX, "eval_alignment")
_NAMED: Final = 5
_JOBS: Final = f"group by (job) (last_over_time({BUILD_INFO.name}[1d]))"
"""Jobs that had a process of ours within a day."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of ours: `alert` tells an alert from a recording rule; `error` is empty when it is well."""

    name: str
    alert: bool
    error: str
    firing: bool


@dataclass(frozen=True, slots=True)
class Scraped:
    """A target of ours: its address, and why it cannot be scraped (empty: it can)."""

    url: str
    error: str


@dataclass(frozen=True, slots=True)
class Prometheus:
    """What a Prometheus says. `error` is not empty when it said nothing usable; the rest is empty then."""

    url: str
    error: str = ""
    rules: Sequence[Rule] = ()
    targets: Sequence[Scraped] = ()
    alertmanagers: Sequence[str] = ()


async def observe_prometheus(url: str) -> Prometheus:
    """Ask for rules, targets and Alertmanagers."""
    base = url.rstrip("/")
    paths = ("rules", "targets?state=active", "alertmanagers", f"query?query={quote(_JOBS, safe='')}")
    answers = await asyncio.gather(*(get(f"{base}/api/v1/{path}") for path in paths))
    try:
        rules, targets, managers, jobs = map(_data, answers)
        known = {series["metric"].get("job", "") for series in jobs["result"]}
        return Prometheus(
            base,
            "",
            [_rule(rule) for group in rules["groups"] for rule in group["rules"] if _ours(rule)],
            [
                Scraped(target["scrapeUrl"], "" if target["health"] != "down" else target["lastError"] or "down")
                for target in targets["activeTargets"]
                if target["labels"].get("job", "") in known or _named_ours(target["labels"].get("job", ""))
            ],
            [manager["url"] for manager in managers["activeAlertmanagers"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        said = next((answer.error for answer in answers if answer.error), "") or f"not as Prometheus answers: {error!r}"
        return Prometheus(base, said)


def _data(answer: Answer) -> Any:
    if answer.status != 200:
        raise ValueError(f"{answer.url}: status {answer.status}")
    return answer.json()["data"]


def _ours(rule: Mapping[str, Any]) -> bool:
    # Recording rules carry the metric behind a level: `queue:eval_alignment_agreement_ratio:...`.
    name = str(rule["name"])
    return any(part.startswith(_RULE_PREFIXES) for part in name.split(":"))


def _named_ours(job: str) -> bool:
    return job.replace("_", "-").startswith("eval-alignment")


def _rule(rule: Mapping[str, Any]) -> Rule:
    error = "" if rule["health"] != "err" else rule.get("lastError") or "cannot be evaluated"
    return Rule(rule["name"], rule["type"] == "alerting", error, rule.get("state") == "firing")


def judge_prometheus(seen: Prometheus) -> list[Finding]:
    """Whether our rules are loaded and well, and our processes scraped."""
    if seen.error:
        return [found(Problem.PROMETHEUS_UNREACHABLE, f"{seen.url}: {seen.error}")]
    findings = []
    alerts = [rule for rule in seen.rules if rule.alert]
    if not alerts:
        findings.append(found(Problem.RULES_MISSING, seen.url))
    if broken := [f"{rule.name}: {rule.error}" for rule in seen.rules if rule.error]:
        findings.append(found(Problem.RULES_BROKEN, "; ".join(broken[:_NAMED])))
    if not seen.targets:
        findings.append(found(Problem.TARGETS_MISSING, seen.url))
    if down := [f"{target.url}: {target.error}" for target in seen.targets if target.error]:
        findings.append(found(Problem.TARGETS_DOWN, "; ".join(down[:_NAMED])))
    if firing := [rule.name for rule in alerts if rule.firing]:
        findings.append(found(Problem.ALERTS_FIRE, ", ".join(firing)))
    if findings:
        return findings
    return [ok("prometheus", f"{len(alerts)} alerts and {len(seen.targets)} targets of ours are well, none fires")]


def judge_alertmanager(seen: Prometheus | None, ready: Answer | None) -> list[Finding]:
    """Whether alerts reach an Alertmanager; `ready` is what the one that was named answered."""
    findings = []
    if seen is not None and not seen.error and not seen.alertmanagers:
        findings.append(found(Problem.ALERTMANAGER_MISSING, f"{seen.url} knows none"))
    if ready is not None and ready.status != 200:
        findings.append(found(Problem.ALERTMANAGER_UNREACHABLE, f"{ready.url}: {ready.error or ready.status}"))
    if findings:
        return findings
    told = [*(seen.alertmanagers if seen is not None else ()), *([ready.url] if ready is not None else ())]
    return [ok("alertmanager", ", ".join(told))] if told else []
