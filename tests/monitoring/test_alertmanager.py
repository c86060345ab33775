"""Alertmanager: the configuration is valid, alerts reach their receivers, and causes inhibit their effects."""

import contextlib
import http.client
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.alertmanager import Alertmanager, Webhook
from tests.support.processes import wait_until
from tests.support.rules import alerts, load
from tests.support.tree import ROOT

CONFIGURATION: Final = ROOT / "monitoring" / "alertmanager" / "alertmanager.yml"
DEADLINE: Final = 30.0
PAIR: Final = {"queue": "q", "criterion": "c", "metric": "m"}
WORKER: Final = {"job": "eval-alignment-worker", "instance": "w1"}
VIEW: Final = {"job": "eval-alignment-view", "instance": "view"}


def receiver(name: str) -> str:
    """The receiver of an alert: the severest of service and product immediately, the others in a digest."""
    severity = alerts()[name]["labels"]["severity"]
    return {"critical": "pager", "warning": "team", "info": "digest"}[severity]


def run(amtool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([amtool, *arguments], capture_output=True, text=True, check=False)


def test_amtool_accepts_the_configuration(amtool: str) -> None:
    done = run(amtool, "check-config", str(CONFIGURATION))
    assert done.returncode == 0, done.stdout + done.stderr


def test_amtool_accepts_the_example_receivers(amtool: str, tmp_path: Path) -> None:
    """The file with its examples enabled, by removing the comment signs."""
    head, receivers = CONFIGURATION.read_text(encoding="utf-8").split("\nreceivers:\n")
    examples, taken = re.subn(r"^( +)# ", r"\1", receivers, flags=re.MULTILINE)
    assert taken > 10
    path = tmp_path / "alertmanager.yml"
    path.write_text(f"{head}\nreceivers:\n{examples}")
    done = run(amtool, "check-config", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = {kind for one in load(path)["receivers"] for kind in one if kind != "name"}
    assert kinds == {"webhook_configs", "slack_configs", "email_configs"}
    secrets = re.findall(r"^ *(?:- )?(\w*(?:password|token|credentials|api_url)\w*):", examples, re.MULTILINE)
    assert secrets and all(name.endswith("_file") for name in secrets)


@pytest.mark.parametrize("name", alerts())
def test_every_alert_reaches_its_receiver(name: str, amtool: str) -> None:
    labels = [f"{key}={value}" for key, value in alerts()[name]["labels"].items()]
    arguments = ["config", "routes", "test", f"--config.file={CONFIGURATION}", f"--verify.receivers={receiver(name)}"]
    done = run(amtool, *arguments, f"alertname={name}", *labels)
    assert done.returncode == 0, done.stdout + done.stderr


def quick(url: str) -> Any:
    """The configuration of the repository with a webhook per receiver, and waits of a second."""
    configuration = load(CONFIGURATION)
    for one in configuration["receivers"]:
        one["webhook_configs"] = [{"url": f"{url}/{one['name']}"}]
    routes = [configuration["route"], *configuration["route"]["routes"]]
    for route in routes:
        route["group_wait"] = route["group_interval"] = "1s"
    return configuration


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook() as running:
        yield running


@pytest.fixture(scope="module")
def alertmanager(amtool: str, webhook: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    assert amtool
    with Alertmanager(tmp_path_factory.mktemp("alertmanager"), quick(webhook.url)) as running:
        yield running


Alert = tuple[str, Mapping[str, str]]


def post(alertmanager: Alertmanager, *those: Alert, ended: bool = False) -> None:
    """Post alerts as Prometheus does."""
    now = datetime.now(UTC)
    posted = [
        {
            "labels": {"alertname": name, **alerts()[name]["labels"], **labels},
            "annotations": {"summary": "s"},
            "startsAt": (now - timedelta(minutes=1)).isoformat(),
            "endsAt": (now - timedelta(seconds=1) if ended else now + timedelta(minutes=5)).isoformat(),
        }
        for name, labels in those
    ]
    connection = http.client.HTTPConnection(alertmanager.http, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/api/v2/alerts", json.dumps(posted), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()


CASES: Final = [
    (("EvalAlignmentStateStale", {"job": VIEW["job"]}), ("EvalAlignmentLow", PAIR), None),
    (("EvalAlignmentDown", VIEW), ("EvalAlignmentDropped", PAIR), None),
    (
        ("EvalAlignmentDropped", PAIR),
        ("EvalAlignmentTooStrict", PAIR),
        ("EvalAlignmentLow", {**PAIR, "queue": "other"}),
    ),
    (("EvalAlignmentCircuitBreakerOpen", WORKER), ("EvalAlignmentRejectsHigh", {"topic": "t"}), None),
    (("EvalAlignmentCircuitBreakerOpen", WORKER), ("EvalAlignmentCommitsStalled", WORKER), None),
    (("EvalAlignmentPartitionQuarantined", WORKER), ("EvalAlignmentStateStale", {"job": VIEW["job"]}), None),
    (("EvalAlignmentDown", WORKER), ("EvalAlignmentStateStale", {"job": VIEW["job"]}), None),
    # A worker is down: another takes over, and the numbers stay correct. Should they become old, that is sent.
    (("EvalAlignmentWorkerDown", WORKER), ("EvalAlignmentLag", {"topic": "t"}), ("EvalAlignmentLow", PAIR)),
    (
        ("EvalAlignmentWorkerDown", WORKER),
        ("EvalAlignmentLag", {"topic": "t"}),
        ("EvalAlignmentStateStale", {"job": VIEW["job"]}),
    ),
    (("EvalAlignmentAuditMismatch", WORKER), ("EvalAlignmentNotReady", WORKER), ("EvalAlignmentNotReady", VIEW)),
]
"""A cause, the alerts that it explains, and the alerts that must still be sent."""


@pytest.mark.parametrize(("cause", "explained", "sent"), CASES)
def test_an_alert_that_explains_others_inhibits_them(
    cause: Alert, explained: Alert, sent: Alert | None, alertmanager: Alertmanager
) -> None:
    those = [cause, explained] + ([sent] if sent else [])

    def inhibited() -> list[tuple[str, str]] | None:
        """Names and jobs of inhibited alerts, once all alerts are known and some are inhibited."""
        listed = [alert for alert in alertmanager.alerts() if alert["status"]["state"] != "unprocessed"]
        silent = [alert["labels"] for alert in listed if alert["status"]["inhibitedBy"]]
        return [(x["alertname"], x.get("job", "")) for x in silent] if len(listed) == len(those) and silent else None

    post(alertmanager, *those)
    try:
        silent = wait_until(inhibited, DEADLINE, "all alerts are known, and one is inhibited")
        assert silent == [(explained[0], explained[1].get("job", ""))]
    finally:
        post(alertmanager, *those, ended=True)
        wait_until(lambda: not alertmanager.alerts(), DEADLINE, "all are resolved")


def test_alerts_of_one_queue_are_one_message(alertmanager: Alertmanager, webhook: Webhook) -> None:
    those = [
        ("EvalAlignmentLow", {**PAIR, "queue": "grouped"}),
        ("EvalAlignmentTooLenient", {**PAIR, "queue": "grouped", "criterion": "d"}),
        ("EvalAlignmentLow", {**PAIR, "queue": "other"}),
    ]
    post(alertmanager, *those)

    def messages() -> list[list[str]] | None:
        listed = [
            sorted(alert["labels"]["alertname"] for alert in message["alerts"])
            for path, message in list(webhook.received)
            if path == "/team" and message["groupLabels"].get("queue") in ("grouped", "other")
        ]
        return sorted(listed) if len(listed) == 2 else None

    delivered = wait_until(messages, DEADLINE, "a message for each queue")
    post(alertmanager, *those, ended=True)
    assert delivered == [["EvalAlignmentLow"], ["EvalAlignmentLow", "EvalAlignmentTooLenient"]]
