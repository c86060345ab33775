"""A worker process, configured by one JSON argument; it can kill itself at a named step."""

import collections
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from aggregator.policy import Policy
from streams.engine.circuit_breaker import CircuitBreakerPolicy
from streams.kafka.topics import Topics
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import exit_now
from streams.runtime.metrics import AUDIT_MISMATCHES
from streams.worker import Worker, WorkerConfig
from tests.integration.streams import injections


def main() -> ExitCode:
    settings = json.loads(sys.argv[1])
    logging.basicConfig(level=settings["log_level"], format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    kill_step, kill_count = settings["kill_at"] or (None, 0)
    seen: collections.Counter[str] = collections.Counter()

    def on_step(step: str) -> None:
        seen[step] += 1
        if step == kill_step and seen[step] >= kill_count:
            os.kill(os.getpid(), signal.SIGKILL)

    if settings["url"]:
        _change_url(settings["url"])
    worker = Worker(
        WorkerConfig(
            brokers=tuple(settings["brokers"]),
            name=settings["name"],
            group=settings["group"],
            topics=Topics(**settings["topics"]),
            policy=Policy(settings["policy"]),
            accept_loss=settings["accept_loss"],
            circuit_breaker=CircuitBreakerPolicy() if settings["circuit_breaker"] else None,
            audit_interval_s=settings["audit"],
            waiting_dir=Path(settings["waiting"]),
            on_step=on_step,
        )
    )
    if settings["inject"]:
        injections.prepare(settings["inject"], worker)
    code = worker.run()
    counted = {
        family.name: int(sum(sample.value for sample in family.samples))
        for family in worker.metrics.registry.collect()
        if family.type == "counter" or family.name == AUDIT_MISMATCHES.name
    }
    sys.stdout.write(f"counted {json.dumps(counted)}\n")
    return code


def _change_url(url: str) -> None:
    """Give the worker an address that changes between starts, as Faust's default does."""
    new_app = Worker._new_app

    def changed(worker: Worker, capabilities: Any) -> Any:
        app: Any = new_app(worker, capabilities)
        app.conf.canonical_url = url
        return app

    setattr(Worker, "_new_app", changed)  # noqa: B010 mypy knows no other way


if __name__ == "__main__":
    # As the command does: the interpreter would wait for Faust's thread.
    exit_now(main())
