"""Processes as `doctor` observes them."""

import json
from typing import Any

from aggregator.tallies import WaitingState
from eval_alignment.doctor.http import Answer
from eval_alignment.doctor.processes import Process, parse

URL = "http://127.0.0.1:1"


def answer(**body: Any) -> Answer:
    return Answer(URL, 200, json.dumps(body).encode(), ahead_s=0.0)


NOBODY = Answer(URL, 0, error="Connection refused")
BUILD = 'eval_alignment_build_info{version="1.0"} 1\n'


def process(health: Answer, readiness: Answer, metrics: str = BUILD, at: float = 1000.0) -> Process:
    scrape = Answer(URL, 200, metrics.encode())
    return Process(URL, health, readiness, scrape, parse(scrape), at)


def storing(
    days: int = 30, away: str | None = None, free: float = 1e12, size: float = 1e9, age: float = 1e6
) -> Process:
    """A worker with a store of waiting evaluations."""
    gauges = {"bytes": size, "free_bytes": free, "oldest_seconds": age}
    metrics = "".join(f"eval_alignment_waiting_{name} {value}\n" for name, value in gauges.items())
    return process(answer(live=True), answer(ready=True, waiting={"wait_days": days, "away": away}), BUILD + metrics)


def waits(rebuilding: int = 0, missing: int = 0) -> WaitingState:
    return WaitingState(rebuilding=rebuilding, missing=missing, evaluations=7, since=1, sample=["a"], judges=[])
