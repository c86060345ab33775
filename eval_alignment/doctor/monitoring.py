"""Observes Prometheus and Alertmanager through their APIs: rules and targets of this product, delivery of alerts."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from eval_alignment.doctor.findings import Finding, ok, problem_found
from eval_alignment.doctor.http import Answer, get
from eval_alignment.doctor.problems import Problem
from streams.runtime.metric_specs import BUILD_INFO

ALERT_PREFIX: Final = "EvalAlignment"
_RULE_PREFIXES: Final = (ALERT_PREFIX, "eval_alignment")
_NAMED: Final = 5
_JOBS: Final = f"group by (job) (last_over_time({BUILD_INFO.name}[1d]))"
"""Jobs that scraped a worker or view within a day."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of this product."""

    name: str
    alert: bool
    """Whether it is an alert; else a recording rule."""
    error: str
    """Why it cannot be evaluated; empty when it can."""
    firing: bool


@dataclass(frozen=True, slots=True)
class Scraped:
    """A scrape target of this product."""

    url: str
    error: str
    """Why it cannot be scraped; empty when it can."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The state of a Prometheus server."""

    url: str
    error: str = ""
    """Why its state is unknown; the fields below are empty then."""
    rules: Sequence[Rule] = ()
    targets: Sequence[Scraped] = ()
    alertmanagers: Sequence[str] = ()


async def observe_prometheus(url: str) -> Prometheus:
    """Request rules, targets and Alertmanagers."""
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
                if target["labels"].get("job", "") in known or _has_default_name(target["labels"].get("job", ""))
            ],
            [manager["url"] for manager in managers["activeAlertmanagers"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        why = (
            next((answer.error for answer in answers if answer.error), "") or f"not an answer of Prometheus: {error!r}"
        )
        return Prometheus(base, why)


def _data(answer: Answer) -> Any:
    if answer.status != 200:
        raise ValueError(f"{answer.url}: status {answer.status}")
    return answer.json()["data"]


def _ours(rule: Mapping[str, Any]) -> bool:
    # In the name of a recording rule the metric follows the level: `queue:eval_alignment_agreement_ratio:...`.
    name = str(rule["name"])
    return any(part.startswith(_RULE_PREFIXES) for part in name.split(":"))


def _has_default_name(job: str) -> bool:
    return job.replace("_", "-").startswith("eval-alignment")


def _rule(rule: Mapping[str, Any]) -> Rule:
    error = "" if rule["health"] != "err" else rule.get("lastError") or "cannot be evaluated"
    return Rule(rule["name"], rule["type"] == "alerting", error, rule.get("state") == "firing")


def judge_prometheus(state: Prometheus) -> list[Finding]:
    """Whether the rules are loaded and valid, and workers and view are scraped."""
    if state.error:
        return [problem_found(Problem.PROMETHEUS_UNREACHABLE, f"{state.url}: {state.error}")]
    findings = []
    alerts = [rule for rule in state.rules if rule.alert]
    if not alerts:
        findings.append(problem_found(Problem.RULES_MISSING, state.url))
    if broken := [f"{rule.name}: {rule.error}" for rule in state.rules if rule.error]:
        findings.append(problem_found(Problem.RULES_BROKEN, "; ".join(broken[:_NAMED])))
    if not state.targets:
        findings.append(problem_found(Problem.TARGETS_MISSING, state.url))
    if down := [f"{target.url}: {target.error}" for target in state.targets if target.error]:
        findings.append(problem_found(Problem.TARGETS_DOWN, "; ".join(down[:_NAMED])))
    if firing := [rule.name for rule in alerts if rule.firing]:
        findings.append(problem_found(Problem.ALERTS_FIRE, ", ".join(firing)))
    if findings:
        return findings
    return [ok("prometheus", f"{len(alerts)} alerts and {len(state.targets)} targets are ok, no alert fires")]


def judge_alertmanager(state: Prometheus | None, ready: Answer | None) -> list[Finding]:
    """Whether alerts reach an Alertmanager; `ready` is the response of the configured one."""
    findings = []
    if state is not None and not state.error and not state.alertmanagers:
        findings.append(problem_found(Problem.ALERTMANAGER_MISSING, f"{state.url} has no Alertmanager"))
    if ready is not None and ready.status != 200:
        findings.append(problem_found(Problem.ALERTMANAGER_UNREACHABLE, f"{ready.url}: {ready.error or ready.status}"))
    if findings:
        return findings
    urls = [*(state.alertmanagers if state is not None else ()), *([ready.url] if ready is not None else ())]
    return [ok("alertmanager", ", ".join(urls))] if urls else []
