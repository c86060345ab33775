"""`up`: what it prints about its addresses."""

from pathlib import Path

import pytest

from eval_alignment import settings
from eval_alignment.local import supervisor


@pytest.mark.parametrize("address", ["127.0.0.1:8389", "127.0.0.1:1"])
def test_another_address_of_ingest_than_the_default_is_explained(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_free_address", lambda _settings, _field: address)
    printed: list[str] = []
    supervisor.Supervisor(settings.load(data_dir=tmp_path), 1, printed.append)._print_addresses()
    (line,) = [line for line in printed if line.startswith("  events")]
    explained = "another program listens on 127.0.0.1:8389" in line
    assert (f"POST http://{address}/" in line, explained) == (True, address != "127.0.0.1:8389")
