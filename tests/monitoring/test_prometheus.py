"""A real Prometheus and Alertmanager with the repository's configuration, on a real `up`, while a judge gets worse and
better.
"""

import itertools
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.monitoring.test_alertmanager import quick
from tests.support.alertmanager import Alertmanager, Webhook
from tests.support.deployments import Installation
from tests.support.processes import get, wait_until
from tests.support.prometheus import Prometheus
from tests.support.rules import PROMETHEUS, RULES, alerts, load, recorded

pytestmark = pytest.mark.slow

DEADLINE: Final = 60.0
QUEUE: Final = "a \"queue\" \\ with 'quotes'"
ITEMS: Final = 40
ALERT: Final = "EvalAlignmentLow"


@dataclass(frozen=True)
class Stack:
    """An installation, Prometheus and Alertmanager."""

    installation: Installation
    prometheus: Prometheus
    webhook: Webhook


def configuration(directory: Path, installation: Installation, alertmanager: Alertmanager) -> Any:
    """The repository's configuration with other addresses, and quick: looks once a second, and a copy of the rules in
    which every `for` is 5 seconds. What rules ask for is what the files say.
    """
    for file in RULES.glob("*.yml"):
        rules = load(file)
        for rule in itertools.chain.from_iterable(group["rules"] for group in rules["groups"]):
            if "alert" in rule:
                rule["for"] = "5s"
        (directory / file.name).write_text(yaml.safe_dump(rules, width=1_000))
    configuration = load(PROMETHEUS / "prometheus.yml")
    configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(directory / "*.yml")]
    configuration["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager.http]}]}]
    targets = installation.scrape_targets()
    configuration["scrape_configs"] = [job for job in configuration["scrape_configs"] if job["job_name"] in targets]
    for job in configuration["scrape_configs"]:
        del job["authorization"]
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return configuration


@pytest.fixture(scope="module")
def stack(prometheus_path: str, amtool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert prometheus_path and amtool
    directory = tmp_path_factory.mktemp("stack")
    rules = directory / "rules"
    rules.mkdir()
    with (
        Webhook() as webhook,
        Alertmanager(directory / "alertmanager", quick(webhook.url)) as alertmanager,
        Installation(directory / "installation") as installation,
        Prometheus(directory / "prometheus", configuration(rules, installation, alertmanager)) as prometheus,
    ):
        wait_until(lambda: prometheus.query("count(up == 1) == 3"), DEADLINE, "all are scraped")
        yield Stack(installation, prometheus, webhook)


def judge(installation: Installation, version: str, agreeing: int) -> None:
    """A judge version that agrees with people on the first `agreeing` items only."""
    at = int(time.time() * 1000)
    installation.send(
        *(
            {
                "id": f"{version} {number}", "at": at, "item": f"i{number}", "metric": "m", "judge": version,
                "passed": (number % 2 == 0) == (number < agreeing),
            }
            for number in range(ITEMS)
        )
    )  # fmt: skip


def test_an_alert_goes_from_pending_to_firing_to_a_webhook_and_is_resolved(stack: Stack) -> None:
    at = int(time.time() * 1000)
    stack.installation.send(
        *(
            {
                "id": f"a{number}",
                "at": at,
                "queue": QUEUE,
                "item": f"i{number}",
                "criterion": "c",
                "thumbs": "down" if number % 2 else "up",
            }
            for number in range(ITEMS)
        )
    )
    judge(stack.installation, "v1", agreeing=12)

    def states() -> set[str]:
        firing = stack.prometheus.data("alerts")["alerts"]
        return {alert["state"] for alert in firing if alert["labels"]["alertname"] == ALERT}

    wait_until(lambda: states() == {"firing"}, DEADLINE, "firing")
    # Checked afterwards that it was pending: a busy machine may miss the short time.
    assert stack.prometheus.query(f'count_over_time(ALERTS{{alertname="{ALERT}",alertstate="pending"}}[10m])')
    (alert,) = (one for one in stack.prometheus.data("alerts")["alerts"] if one["labels"]["alertname"] == ALERT)
    assert alert["labels"]["queue"] == QUEUE
    assert "agree in 30% of the comparisons" in alert["annotations"]["description"]
    # The interval of the rules is the one of the page.
    metric = stack.installation.document(QUEUE, window="30d")["criteria"][0]["metrics"][0]
    for name, field in (("ratio", "alignment"), ("wilson_low", "alignment_low"), ("wilson_high", "alignment_high")):
        ((_, value),) = stack.prometheus.query(
            f'pair_rate:eval_alignment_newest_judge_window_comparisons:{name}{{rate="alignment"}}'
        )
        assert value == pytest.approx(metric[field], abs=1e-12)

    def delivered(status: str) -> bool:
        messages = [message for path, message in list(stack.webhook.received) if path == "/team"]
        return any(
            one["status"] == status and one["labels"]["alertname"] == ALERT and one["labels"]["queue"] == QUEUE
            for message in messages
            for one in message["alerts"]
        )

    wait_until(lambda: delivered("firing"), DEADLINE, "the webhook received the alert")
    judge(stack.installation, "v2", agreeing=ITEMS)
    wait_until(lambda: states() == set(), DEADLINE, "resolved")
    wait_until(lambda: delivered("resolved"), DEADLINE, "the webhook received the end of the alert")


def test_every_rule_is_loaded_and_evaluates(stack: Stack) -> None:
    def rules() -> list[Any]:
        groups = stack.prometheus.data("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] == "ok" for rule in rules()), DEADLINE, "every rule was evaluated")
    assert {rule["name"] for rule in rules()} == {*alerts(), *(rule["record"] for rule in recorded())}


@pytest.mark.parametrize("role", ["view", "worker", "ingest"])
def test_promtool_finds_nothing_in_what_is_scraped(role: str, stack: Stack, promtool: str) -> None:
    answer = get(f"http://{stack.installation.scrape_targets()[f'eval-alignment-{role}']}/metrics")
    assert b"eval_alignment_build_info" in answer.body
    done = subprocess.run([promtool, "check", "metrics"], input=answer.body, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
