"""The key of annotators' pseudonyms, from its file."""

from pathlib import Path

import pytest

from eval_alignment import settings, wiring
from streams.events.pseudonyms import Pseudonyms


def load(path: Path | None) -> settings.Settings:
    return settings.load(pseudonyms_key_file=path)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_key_is_the_content_of_the_file_without_the_end_of_its_line(tmp_path: Path, ending: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"0123456789abcdef" + ending.encode())
    file.chmod(0o600)
    read = wiring.pseudonyms(load(file))
    assert read is not None
    assert read.of("ann") == Pseudonyms(b"0123456789abcdef").of("ann")
    assert wiring.pseudonyms(load(None)) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"0123456789abcde\n", "has 15 bytes, expected at least 16"),
        (b"", "has 0 bytes"),
        (b"x" * 70_000, "larger than 65,536 bytes"),
        (None, "No such file"),
    ],
)
def test_an_unusable_file_is_named_with_what_to_do(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(settings.SettingsError, match=problem) as refused:
        wiring.pseudonyms(load(file))
    assert "openssl rand -hex 32" in str(refused.value)
    assert "0123456789abcde" not in str(refused.value)
