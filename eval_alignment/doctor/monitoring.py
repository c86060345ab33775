"""Observes Prometheus and Alertmanager through their APIs: rules and targets of this product, delivery of alerts."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from eval_alignment.doctor.findings import Finding, ok, problem_found, skipped
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
    evaluated: bool = True
    """Whether Prometheus has evaluated it since its start."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """A scrape target of this product."""

    url: str
    error: str
    """Why it cannot be scraped; empty when it can."""
    scraped: bool = True
    """Whether Prometheus has scraped it since its start."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The state of a Prometheus server."""

    url: str
    error: str = ""
    """Why its state is unknown; the fields below are empty then."""
    rules: Sequence[Rule] = ()
    targets: Sequence[Scraped] = ()
    alertmanagers: Sequence[str] = ()
    """The addresses to which it sends alerts, as base addresses."""


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
                Scraped(
                    target["scrapeUrl"],
                    "" if target["health"] != "down" else target["lastError"] or "down",
                    target["health"] != "unknown",
                )
                for target in targets["activeTargets"]
                if target["labels"].get("job", "") in known or _has_default_name(target["labels"].get("job", ""))
            ],
            [_base(manager["url"]) for manager in managers["activeAlertmanagers"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        why = (
            next((answer.error for answer in answers if answer.error), "") or f"not an answer of Prometheus: {error!r}"
        )
        return Prometheus(base, why)


async def observe_alertmanager(url: str) -> Answer:
    """Request the readiness of an Alertmanager; its `url` is the base address."""
    base = url.rstrip("/")
    answer = await get(f"{base}/-/ready")
    return replace(answer, url=base)


def _base(api: str) -> str:
    """Base address of an Alertmanager, from the address of its API that Prometheus reports.

    >>> _base("http://alertmanager:9093/prefix/api/v2/alerts")
    'http://alertmanager:9093/prefix'
    """
    return api.partition("/api/v")[0]


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
    firing = rule.get("state") == "firing"
    return Rule(rule["name"], rule["type"] == "alerting", error, firing, rule["health"] != "unknown")


def judge_prometheus(state: Prometheus) -> list[Finding]:
    """Whether the rules are loaded and valid, and workers, view and ingest are scraped."""
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
    unknown = [rule.name for rule in state.rules if not rule.evaluated]
    unknown += [target.url for target in state.targets if not target.scraped]
    if unknown:
        findings.append(
            skipped("prometheus", f"not evaluated or scraped since its start: {', '.join(unknown[:_NAMED])}")
        )
    if findings:
        return findings
    return [ok("prometheus", f"{len(alerts)} alerts and {len(state.targets)} targets are ok, no alert fires")]


def judge_alertmanager(state: Prometheus | None, answers: Sequence[Answer], configured: str) -> list[Finding]:
    """Whether alerts reach an Alertmanager.

    Args:
        state: of Prometheus; None without an address.
        answers: whether each Alertmanager is ready: the configured one, and those to which Prometheus sends alerts.
        configured: base address of the configured one; empty without one.
    """
    findings = []
    if state is not None and not state.error and not state.alertmanagers:
        findings.append(problem_found(Problem.ALERTMANAGER_MISSING, f"{state.url} has no Alertmanager"))
    ready = [answer.url for answer in answers if answer.status == 200]
    for answer in answers:
        if answer.status == 200:
            continue
        observed = f"{answer.url}/-/ready: {answer.error or f'status {answer.status}'}"
        if answer.url != configured and configured in ready:
            # Such as a name that only the network of Prometheus knows.
            findings.append(skipped("alertmanager", f"{observed}; the address is from Prometheus"))
        else:
            findings.append(problem_found(Problem.ALERTMANAGER_UNREACHABLE, observed))
    if ready:
        findings.append(ok("alertmanager", f"{', '.join(ready)} {'is' if len(ready) == 1 else 'are'} ready"))
    return findings or [skipped("alertmanager", "its address is unknown: see prometheus")]
