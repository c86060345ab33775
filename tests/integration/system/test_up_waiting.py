"""Row 54: what waits in the store of `up` is compared after every kind of stop, although its broker forgets it."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.deployments import Installation
from tests.support.documents import documents
from tests.support.processes import get_json, wait_until

DEADLINE = 60.0
AT = 1_780_000_000_000
ITEMS = 5


def waiting(up: Installation) -> int:
    """Evaluations that wait, as the API reports them."""
    reported = get_json(f"{up.url}/api/v1/queues")["waiting"]
    return int(reported["evaluations"]) if reported else 0


def annotate(up: Installation, number: int) -> None:
    """Annotate one more item, and wait until it is compared and waits no longer."""
    up.send({"id": f"a{number}", "at": AT, "queue": "support", "item": f"i{number}", "thumbs": "up"})

    def counted() -> bool:
        document = up.document("support")
        return document is not None and document["cards"]["comparisons"] == number + 1

    wait_until(counted, DEADLINE, f"{number + 1} comparisons")
    wait_until(lambda: waiting(up) == ITEMS - number - 1, DEADLINE, f"{ITEMS - number - 1} evaluations wait")


def kill(up: Installation, word: str) -> None:
    """Kill the worker or the broker (tansu), and wait until `up` has started another one."""
    start = len(up.up.text())
    (process,) = [pid for pid, line in up.processes().items() if f" {word} " in line and "-c" not in line.split()]
    os.kill(process, signal.SIGKILL)
    if word == "broker":
        wait_until(lambda: "is ready" in up.up.text()[start:], DEADLINE, "`up` reports that it is ready again")


@pytest.mark.row(54)
@pytest.mark.slow
def test_row_54_what_waits_is_compared_after_every_kind_of_stop(tmp_path: Path) -> None:
    with Installation(tmp_path, environment={"EVAL_ALIGNMENT_WAIT_DAYS": "30"}) as up:
        up.send(*({"id": f"e{n}", "at": AT, "item": f"i{n}", "metric": "m", "passed": True} for n in range(ITEMS)))
        wait_until(lambda: waiting(up) == ITEMS, DEADLINE, "all evaluations wait")
        annotate(up, 0)
        before = documents(up)
        assert up.stop() == 0
        up.start()
        assert documents(up) == before
        annotate(up, 1)
        kill(up, "worker")
        annotate(up, 2)
        kill(up, "broker")
        annotate(up, 3)
        up.up.kill()
        wait_until(lambda: not up.processes(), DEADLINE, "no process is left")
        up.start()
        annotate(up, 4)
