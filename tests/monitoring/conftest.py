"""An installation with sample events, and a real Prometheus that scrapes it, for tests that only read."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx
import orjson
import pytest

from eval_alignment.local.sample import Sample
from ingest.openapi import EVENTS_PATH
from tests.support.alertmanager import program as alertmanager_program
from tests.support.deployments import Installation
from tests.support.processes import wait_until
from tests.support.prometheus import Prometheus
from tests.support.requirements import Requirements
from tests.support.tree import ROOT

RULES: Final = ROOT / "monitoring" / "prometheus" / "rules"
_DEADLINE: Final = 60.0


@dataclass(frozen=True)
class Watched:
    """An installation and the Prometheus that scrapes it every second, with the rules of the repository."""

    installation: Installation
    prometheus: Prometheus


@pytest.fixture(scope="session")
def prometheus_path(requirements: Requirements) -> str:
    """The path of Prometheus."""
    path = shutil.which("prometheus")
    requirements.provide("prometheus", None if path else "not found on PATH")
    return str(path)


@pytest.fixture(scope="session")
def amtool(requirements: Requirements) -> str:
    """The path of amtool; skips unless Alertmanager is installed as well."""
    path = shutil.which("amtool") if alertmanager_program() else None
    requirements.provide("amtool", None if path else "amtool and Alertmanager are not both on PATH")
    return str(path)


@pytest.fixture(scope="package")
def watched(prometheus_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """`up` on the embedded broker, scraped from before its events arrive until Prometheus has their counts."""
    assert prometheus_path
    directory = tmp_path_factory.mktemp("watched")
    prompt = {"EVAL_ALIGNMENT_AUDIT_INTERVAL_S": "1"}
    with Installation(directory / "installation", environment=prompt) as installation:
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [f"{RULES}/*.yml"],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target]}]}
                for job, target in installation.scrape_targets().items()
            ],
        }
        with Prometheus(directory / "prometheus", configuration) as prometheus:
            wait_until(lambda: prometheus.query("count(up == 1) == 3"), _DEADLINE, "all are scraped")
            events = directory / "events.ndjson"
            now = round(time.time() * 1000)
            history = Sample().history(now)
            events.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in history))
            installation.load(events)
            # One event that ingest accepts, and one that it rejects.
            posted = [{"id": "posted", "at": now, "item": "posted", "metric": "m", "passed": True}, {}]
            httpx.post(f"http://{installation.ingest_http}{EVENTS_PATH}", json=posted, timeout=_DEADLINE)
            counted = (
                "sum(eval_alignment_lag_events) == 0 and sum(rate(eval_alignment_events_total[1m])) >= 0 "
                "and sum(eval_alignment_comparisons) > 0 and sum(rate(eval_alignment_audits_total[1m])) > 0 "
                "and sum(rate(eval_alignment_ingest_events_rejected_total[1m])) >= 0"
            )
            wait_until(lambda: prometheus.query(counted), _DEADLINE, "the counts of the events are in Prometheus")
            yield Watched(installation, prometheus)
