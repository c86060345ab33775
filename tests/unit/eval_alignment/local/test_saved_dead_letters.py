"""Dead letters over a stop and a start: what is kept, and how the file is written."""

from pathlib import Path

import pytest

from eval_alignment.local import saved_dead_letters
from eval_alignment.local.saved_dead_letters import SavedDeadLetters, SavedDeadLettersError, _newest, _Saved
from streams.kafka.client import KafkaClient


def saved(size: int) -> _Saved:
    return _Saved(1, False, None, b"x" * size, [])


def letters(path: Path) -> SavedDeadLetters:
    return SavedDeadLetters(path, KafkaClient(["127.0.0.1:1"]), "dead", "group")


def test_the_newest_are_kept_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_dead_letters, "MAX_BYTES", 10)
    assert [one.size for one in _newest([saved(4), saved(3), saved(7)])] == [3, 7]
    assert [one.size for one in _newest([saved(3), saved(7)])] == [3, 7]
    assert list(_newest([saved(11)])) == []
    assert list(_newest([])) == []


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dead-letters.ndjson"
    letters(path)._replace(b"first\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        letters(path)._replace(b"second\n")
    assert path.read_bytes() == b"first\n"


async def test_without_a_file_nothing_is_put_back(tmp_path: Path) -> None:
    assert await letters(tmp_path / "none").put_back() == 0


@pytest.mark.parametrize("content", [b"{", b'[1,false,"?",null,[]]\n', b"[1]\n"])
async def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dead-letters.ndjson"
    path.write_bytes(content)
    with pytest.raises(SavedDeadLettersError, match=r"dead-letters\.ndjson is invalid: .*; move it away"):
        await letters(path).put_back()
