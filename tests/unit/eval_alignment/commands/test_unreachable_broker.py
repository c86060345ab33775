"""Commands whose broker does not answer."""

import time
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import run


@pytest.mark.parametrize("command", ["load", "topics", "export", "dlq"])
def test_an_unreachable_broker_is_reported_quickly(tmp_path: Path, command: str) -> None:
    words = {"load": ("load",), "topics": ("topics", "apply"), "export": ("export",), "dlq": ("dlq", "ls")}[command]
    address = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    done = run(*words, "--broker", address, *(("-",) if command == "load" else ()), home=tmp_path, expect=1)
    output = done.stderr.decode()
    assert f"{address}: no broker answers" in output
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) <= 2, output
    assert time.monotonic() - began < 15
